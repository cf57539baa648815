import { describe, expect, it } from 'vitest';
import { requireChangeable } from './live-unit.ts';
import { requireOrdinaryAlong } from './protected-unit.ts';
import { parseShow } from './systemctl.ts';
import { unitOf, type Unit } from './unit.ts';

const ORDINARY = {
  LoadState: 'loaded',
  ActiveState: 'active',
  Requires: 'system.slice sysinit.target',
  Wants: 'modprobe@drm.service',
  Conflicts: 'shutdown.target',
  ...{ SuccessAction: 'none', FailureAction: 'none', StartLimitAction: 'none' },
  JobTimeoutAction: 'none',
};

function unit(id: string, properties: Record<string, string> = {}): Unit {
  const all = { Id: id, Names: id, ...ORDINARY, ...properties };
  const lines = Object.entries(all).map(([key, value]) => `${key}=${value}`);
  return unitOf(parseShow(lines.join('\n'), 1)[0]!);
}
const attempt = (one: Unit) => () => requireChangeable(one, one.id);
const protectedBy = (message: RegExp) =>
  expect.objectContaining({
    reason: 'unit_protected',
    message: expect.stringMatching(message) as string,
  });

describe('a unit that jobs may change', () => {
  it.each([
    ...['nginx.service', 'a.timer', 'systemd-networkd.service', 'systemd-resolved.service'],
    ...['systemd-timesyncd.service', 'systemd-journald.service', 'systemd-logind.service'],
    ...['systemd-udevd.service', 'getty@tty1.service', 'users.service', 'rebooter.service'],
  ])('is %s', (id) => {
    expect(attempt(unit(id))).not.toThrow();
  });

  it('is an instance that has failed, and a unit of no template that is stopped', () => {
    expect(attempt(unit('db@main.service', { ActiveState: 'failed' }))).not.toThrow();
    expect(attempt(unit('nginx.service', { ActiveState: 'inactive' }))).not.toThrow();
  });
});

describe('a unit that no job may change', () => {
  it.each([
    ...['debug-shell.service', 'rescue.service', 'emergency.service', 'reboot.service'],
    ...['poweroff.service', 'halt.service', 'kexec-load.service', 'shutdown.timer'],
    ...['initrd-switch-root.service', 'modprobe@evil.service', 'user@1000.service'],
    ...['user-runtime-dir@0.service', 'systemd-fsck@dev-sda1.service', 'systemd-poweroff.service'],
    ...['systemd-fsck-root.service', 'systemd-networkd.timer', 'intervene-agent.service'],
  ])('is %s', (id) => {
    expect(attempt(unit(id))).toThrow(protectedBy(/./));
  });

  it('has one of these names beside its own', () => {
    const names = { Names: 'shell.service debug-shell.service' };
    expect(attempt(unit('shell.service', names))).toThrow(protectedBy(/opens a way into it/));
  });

  it.each(['SuccessAction', 'FailureAction', 'StartLimitAction', 'JobTimeoutAction'])(
    'has a %s',
    (action) => {
      const message = new RegExp(`may end the whole system \\(${action}=reboot-force\\)`);
      expect(attempt(unit('a.service', { [action]: 'reboot-force' }))).toThrow(
        protectedBy(message),
      );
    },
  );

  it.each(['Requires', 'Wants', 'BindsTo', 'Upholds', 'OnSuccess', 'OnFailure', 'Triggers'])(
    'may start what ends the system, by %s',
    (how) => {
      for (const end of ['reboot', 'poweroff', 'shutdown', 'rescue', 'emergency', 'final']) {
        const list = `basic.target ${end}.target`;
        expect(attempt(unit('a.service', { [how]: list }))).toThrow(protectedBy(/may start/));
      }
    },
  );

  it('is an instance that nobody has started', () => {
    const stopped = unit('db@other.service', { ActiveState: 'inactive' });
    expect(attempt(stopped)).toThrow(protectedBy(/does not run now/));
  });
});

it('a restart takes along nothing that ends the system, but what systemd itself restarts', () => {
  const journald = unit('systemd-journald.service');
  const flush = unit('systemd-journal-flush.service');
  expect(() => requireOrdinaryAlong(journald, [flush])).not.toThrow();
  const ending = unit('end.service', { SuccessAction: 'poweroff' });
  expect(() => requireOrdinaryAlong(journald, [flush, ending])).toThrow(
    protectedBy(/takes end.service along.*SuccessAction=poweroff/),
  );
});
