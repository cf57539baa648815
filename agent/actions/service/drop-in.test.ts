import { describe, expect, it } from 'vitest';
import {
  serviceConfigureParameters,
  serviceOverrideParameters,
  serviceRestartParameters,
} from '../../../proto/actions/service.ts';
import { dropInPath, dropInText, unboundedSettings } from './drop-in.ts';

describe('a drop-in', () => {
  it('has its settings in their order, each section named where it begins', () => {
    const text = dropInText([
      'Unit.After=db.service',
      'Service.ExecStart=',
      'Service.ExecStart=/bin/a "b c" %i',
    ]);
    expect(text).toMatch(
      /\n\[Unit\]\nAfter=db.service\n\n\[Service\]\nExecStart=\nExecStart=\/bin\/a "b c" %i\n$/,
    );
    expect(dropInPath('a@b.service', 'x')).toBe('/etc/systemd/system/a@b.service.d/x.conf');
  });

  it.each([
    ['[Service]\nLimitNOFILE=1\n# ExecStart=/bin/sh\n', []],
    ['[Service]\nExecStart=/bin/sh\n', ['Service.ExecStart']],
    ['[Service]\n  User = root\n', ['Service.User']],
    ['[Service]\nDescription=a\\\nUser=root\n', ['Service.Description']],
    ['[Service]\nLimitNOFILE=1\\\n\nUser=root\n', ['Service.User']],
    ['[Service]\n# says \\\nUser=root\n', ['Service.User']],
    ['[Service]\nLimitNOFILE=1\\\n# no \\\nUser=root\n', []],
    ['[Service]\nLimitNOFILE=1\\\\\nUser=root\n', ['Service.User']],
    ['[Service]\rUser=root', ['Service.User']],
    ['User=root\n', ['.User']],
    ['[Service]\nnonsense\n', ['nonsense']],
    ['[Unit]\nLimitNOFILE=1\n', ['Unit.LimitNOFILE']],
    ['', []],
  ])('%j sets what only service.override may: %j', (text, settings) => {
    expect(unboundedSettings(text)).toEqual(settings);
  });
});

const configure = (changes: Record<string, unknown>) =>
  serviceConfigureParameters.safeParse({ unit: 'a.service', ...changes });
const dropIn = (...settings: string[]) => ({ dropIn: 'a', settings });

describe('parameters of service.configure', () => {
  it.each([
    ['limits', dropIn('Service.LimitNOFILE=65536', 'Unit.StartLimitBurst=10')],
    ['enablement', { enabled: false }],
    ['a mask', { masked: true }],
    ['a drop-in to remove', { removeDropIn: 'a' }],
  ])('may be %s', (_, changes) => {
    expect(configure(changes).error).toBeUndefined();
  });

  it.each([
    ['nothing', {}],
    ['a program', dropIn('Service.ExecStart=/bin/sh')],
    ['a program before the start', dropIn('Service.ExecStartPre=/bin/sh')],
    ['an environment', dropIn('Service.Environment=LD_PRELOAD=/tmp/x.so')],
    ['a file of an environment', dropIn('Service.EnvironmentFile=/tmp/x')],
    ['a user', dropIn('Service.User=root')],
    ['another root', dropIn('Service.RootDirectory=/tmp')],
    ['capabilities', dropIn('Service.AmbientCapabilities=CAP_SYS_ADMIN')],
    ['a file to write to', dropIn('Service.StandardOutput=file:/etc/passwd')],
    ['another unit to start', dropIn('Unit.OnFailure=debug-shell.service')],
    ['another unit to want', dropIn('Unit.Wants=debug-shell.service')],
    ['a reboot', dropIn('Unit.StartLimitAction=reboot-force')],
    ['a key in another spelling', dropIn('Service.limitNOFILE=1')],
    ['a section that has no such key', dropIn('Socket.LimitNOFILE=1')],
    ['settings without a file', { settings: ['Service.LimitNOFILE=1'] }],
    ['a file without settings', { dropIn: 'a' }],
    ['a file outside', { dropIn: '../a', settings: ['Service.LimitNOFILE=1'] }],
    ['both ways at once', { ...dropIn('Service.LimitNOFILE=1'), removeDropIn: 'b' }],
    ['enabled and masked', { enabled: true, masked: true }],
  ])('are not %s', (_, changes) => {
    expect(configure(changes).success).toBe(false);
  });

  it.each([
    ['a second line', 'Service.LimitNOFILE=1\nExecStart=/bin/sh'],
    ['a carriage return', 'Service.LimitNOFILE=1\rExecStart=/bin/sh'],
    ['the separator of lines', 'Service.LimitNOFILE=1\u2028x'],
    ['a line that goes on', 'Service.LimitNOFILE=1\\'],
    ['blanks at the end', 'Service.LimitNOFILE=1 '],
    ['another section', 'Service]\n[X.Y=1'],
    ['no value', 'Service.LimitNOFILE'],
    ['a section for enabling', 'Install.WantedBy=x.target'],
  ])('have no setting with %s, also not of service.override', (_, setting) => {
    expect(configure(dropIn(setting)).success).toBe(false);
    const override = serviceOverrideParameters.safeParse({ unit: 'a.service', ...dropIn(setting) });
    expect(override.success).toBe(false);
  });
});

describe('the unit of an order', () => {
  const restart = (unit: string) => serviceRestartParameters.safeParse({ unit }).success;
  it.each(['nginx.service', 'a@b-c.service', 'ssh.socket', String.raw`a\x2db.service`, 'x.timer'])(
    'may be %s',
    (unit) => {
      expect(restart(unit)).toBe(true);
    },
  );
  it.each([
    ...['nginx', '-h.service', '--now.service', 'a/b.service', '../a.service', 'a b.service'],
    ...['getty@.service', 'basic.target', '-.mount', 'a.service\n', '*.service', '', '.service'],
  ])('is not %j', (unit) => {
    expect(restart(unit)).toBe(false);
  });
});
