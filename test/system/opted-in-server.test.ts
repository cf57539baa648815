import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OptedInServer } from '../harness/opted-in-server.ts';
import { eventually } from '../harness/process.ts';

let server: OptedInServer;

beforeAll(async () => {
  server = await OptedInServer.start();
}, 600_000);
afterAll(() => server?.close());

describe('a server with systemd that was opted in by its install line', () => {
  it('runs its agent as a service', async () => {
    expect(await server.debian.ok(['systemctl', 'is-active', 'intervene-agent'])).toBe('active\n');
  });

  it('carries out what its client allows, in its own world', async () => {
    await server.stack.authorize('command.run');
    const argv = ['sh', '-c', 'hostname; systemctl is-active nginx'];
    const done = await server.stack.cli(
      'lead',
      ...['run', 'web-04', 'command.run', '--yes', '--'],
      ...argv,
    );
    expect(done).toMatchObject({ status: 0, stdout: `${server.debian.name}\nactive\n` });
  });

  it('boots again by a job that cuts no other, can be cancelled, and ends when it is back', async () => {
    const { stack, debian } = server;
    await stack.authorize('system.reboot');
    const boot = () => debian.ok(['cat', '/proc/sys/kernel/random/boot_id']);
    const before = await boot();
    const order = async (...words: string[]) => {
      const named = ['web-04', 'system.reboot', ...words];
      const { planDigest } = await stack.json<{ planDigest: string }>('lead', 'plan', ...named);
      const run = ['run', ...named, '--plan', planDigest, '--yes', '--detach'];
      return (await stack.json<{ id: string }>('lead', ...run)).id;
    };
    const other = await stack.json<{ id: string }>(
      'lead',
      ...['run', 'web-04', 'command.run', '--yes', '--detach', '--', 'sleep', '600'],
    );
    await eventually('it runs', async () => (await stack.job(other.id)).state === 'running');
    const refused = await stack.ended(await order());
    expect(refused).toMatchObject({ state: 'refused', reason: 'busy_changing' });
    await stack.ok('lead', 'jobs', 'cancel', other.id);
    await stack.ended(other.id);

    const cancelled = await order('--param', 'delaySeconds=600');
    await eventually('it waits', async () => (await stack.job(cancelled)).state === 'running');
    await stack.ok('lead', 'jobs', 'cancel', cancelled);
    expect(await stack.ended(cancelled)).toMatchObject({ state: 'cancelled' });
    expect(await boot()).toBe(before);

    const job = await order('--param', 'delaySeconds=5');
    await debian.cameBack();
    expect(await boot()).not.toBe(before);
    expect(await stack.ended(job)).toMatchObject({ state: 'succeeded', log: { verified: true } });
    const log = await stack.cli('lead', 'logs', job);
    expect(log.stdout + log.stderr).toMatch(
      /goes down in 5 s[^]*goes down now[^]*has booted again/,
    );
  }, 240_000);
});
