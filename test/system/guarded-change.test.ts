import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OptedInServer } from '../harness/opted-in-server.ts';
import { PersonAtTerminal } from '../harness/person-at-terminal.ts';
import { eventually } from '../harness/process.ts';
import { interveneProgram } from '../harness/stack-people.ts';

/** A server whose firewall shuts SSH out, and not the control plane. */
const SHUT = [
  '#!/usr/sbin/nft -f',
  'flush ruleset',
  'table inet filter {',
  '  chain input {',
  '    type filter hook input priority 0; policy accept;',
  '    tcp dport 22 drop',
  '  }',
  '}',
  '',
].join('\n');
const ACTION = 'firewall.recover';

let server: OptedInServer;
beforeAll(async () => {
  server = await OptedInServer.start();
  await server.stack.authorize(ACTION);
}, 600_000);
afterAll(() => server?.close());

const sh = (script: string) => server.debian.ok(['sh', '-c', script]);
const state = () =>
  sh(
    'cat /etc/nftables.conf; nft list ruleset; ls /etc/systemd/system /etc/systemd/system/sysinit.target.wants; ls -A /etc | grep -c intervene',
  );
const reachesSsh = async () => {
  const script = 'exec 3<>/dev/tcp/127.0.0.1/22; head -c 4 <&3';
  const done = await server.debian.exec(['timeout', '2', 'bash', '-c', script]);
  return done.stdout.startsWith('SSH-');
};

/** Orders the recovery and leaves it alone; resolves with its id. */
async function order(within = 120): Promise<string> {
  const { stack } = server;
  const words = ['--param', `confirmWithinSeconds=${within}`];
  const { planDigest } = await stack.json<{ planDigest: string }>(
    'lead',
    'plan',
    'web-04',
    ACTION,
    ...words,
  );
  const { id } = await stack.json<{ id: string }>(
    ...(['lead', 'run', 'web-04', ACTION, '--plan', planDigest, '--yes', '--detach'] as const),
  );
  return id;
}

/** Waits until the job can be confirmed: its change is made, and the control plane was reached since. */
async function confirmable(job: string): Promise<string> {
  const { text } = await eventually('it waits for its confirmation', async () => {
    const { progress } = (await server.stack.job(job)) as unknown as Waiting;
    return progress?.phase === 'confirm' ? progress : null;
  });
  return text;
}
interface Waiting {
  progress: { phase: string; text: string } | null;
}

describe('a change that could cut the server off', { timeout: 180_000 }, () => {
  let before: string;
  beforeEach(async () => {
    await server.debian.write('/etc/nftables.conf', SHUT, '0755');
    await sh('systemctl enable --quiet nftables; systemctl restart nftables');
    before = await state();
    expect(await reachesSsh()).toBe(false);
  });

  it('stays when an engineer confirms it, after the agent has come by a new connection', async () => {
    const sessions = () =>
      sh("journalctl -u intervene-agent -o cat | grep -c 'a change waits' || true");
    const reconnectedBefore = Number(await sessions());
    const job = await order();
    expect(await confirmable(job)).toMatch(/reached again; waiting for confirmation, \d+ s left/);
    expect(Number(await sessions())).toBe(reconnectedBefore + 1);
    expect(await sh('systemctl list-units --no-legend "intervene-guard-*"')).toMatch(/activating/);
    const confirmed = await server.stack.cli('lead', 'jobs', 'confirm', job);
    expect(confirmed.stderr).toContain('Succeeded');
    expect(await server.stack.ended(job)).toMatchObject({
      state: 'succeeded',
      result: { outcome: 'opened' },
    });
    expect(await reachesSsh()).toBe(true);
    // Nothing of the guardian is left, and the next boot finds the new rules.
    expect(await sh('ls -A /etc /etc/systemd/system')).not.toContain('intervene-guard');
    await server.debian.ok(['systemctl', 'reboot', '--no-block']);
    await server.debian.cameBack();
    expect(await reachesSsh()).toBe(true);
    const again = await server.stack.cli('lead', 'jobs', 'confirm', job);
    expect(again).toMatchObject({ status: 1 });
    expect(again.stderr).toContain('has ended: succeeded');
    await server.stack.connected();
    await server.stack.ok('lead', 'jobs', 'undo', job, '--yes');
    expect(await state()).toBe(before);
    expect(await reachesSsh()).toBe(false);
  });

  it('takes itself back when nobody confirms it, and says so with a receipt', async () => {
    const job = await order(20);
    await confirmable(job);
    expect(await reachesSsh()).toBe(true);
    expect(await server.stack.ended(job)).toMatchObject({
      state: 'failed',
      reason: 'rolled_back',
      result: { outcome: 'rolled_back' },
      log: { verified: true },
    });
    expect(await state()).toBe(before);
    const late = await server.stack.cli('lead', 'jobs', 'confirm', job);
    expect(late.stderr).toContain('rolled_back');
  });

  it('is taken back at the next boot, before the network is there, after a power cut', async () => {
    const job = await order();
    await confirmable(job);
    await server.debian.powerCut();
    // The rules are those of the file as it was before.
    expect(await state()).toBe(before);
    expect(await server.stack.ended(job)).toMatchObject({ state: 'failed', reason: 'rolled_back' });
  });

  it('is taken back before the system goes down, and keeps nobody waiting', async () => {
    const job = await order();
    await confirmable(job);
    await server.debian.ok(['systemctl', 'reboot', '--no-block']);
    await server.debian.cameBack();
    expect(await state()).toBe(before);
    expect(await server.stack.ended(job)).toMatchObject({
      state: 'cancelled',
      reason: 'shutdown',
      result: { outcome: 'rolled_back' },
    });
  });

  it('is taken back by systemd when agent, runner and guardian are killed', async () => {
    const job = await order(20);
    await confirmable(job);
    await sh(
      'systemctl kill --signal=KILL intervene-agent; systemctl kill --signal=KILL "intervene-guard-*"',
    );
    expect(await server.stack.ended(job)).toMatchObject({ state: 'failed', reason: 'rolled_back' });
    expect(await state()).toBe(before);
  });

  it('is taken back at once when the job is cancelled', async () => {
    const job = await order();
    await confirmable(job);
    await server.stack.ok('lead', 'jobs', 'cancel', job);
    expect(await server.stack.ended(job)).toMatchObject({
      state: 'cancelled',
      reason: 'requested',
      result: { outcome: 'rolled_back' },
    });
    expect(await state()).toBe(before);
  });

  it('is not kept by somebody who may not order it', async () => {
    const job = await order();
    await confirmable(job);
    await server.stack.revokeAll();
    expect(await server.stack.ended(job)).toMatchObject({ state: 'cancelled', reason: 'revoked' });
    expect(await state()).toBe(before);
    await server.stack.authorize(ACTION, '--ticket', 'T-2');
  });

  it('is offered to whoever follows it at a terminal', async () => {
    const words = [interveneProgram, '--profile', 'lead', 'run', 'web-04', ACTION];
    const person = new PersonAtTerminal(words, server.stack.environment);
    await person.sees('Apply this plan on web-04? [y/N]');
    person.type('y\r');
    await person.sees('web-04 reaches the control plane by a new connection', 60_000);
    await person.sees('Keep the change?');
    person.type('y\r');
    await person.sees('Succeeded');
    expect(await person.ends()).toBe(0);
    expect(await reachesSsh()).toBe(true);
  });
});
