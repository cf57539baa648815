import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceConfigureResult } from '../../proto/actions/service.ts';
import { HeldReload } from '../harness/held-reload.ts';
import { PackagedServer } from '../harness/packaged-server.ts';
import { eventually } from '../harness/process.ts';
import { endOf, setUpOf, words } from '../harness/service-orders.ts';

const VERSION = '0.1.0';
const DROP_IN = '/etc/systemd/system/slow.service.d/limits.conf';

/** A service that takes its time to start, so that somebody can revoke meanwhile. */
const SLOW_UNIT = [
  '[Service]',
  'ExecStartPre=/bin/sh -c "sleep $$(cat /srv/seconds)"',
  'ExecStart=/bin/sleep infinity',
  '[Install]',
  'WantedBy=multi-user.target',
  '',
].join('\n');

describe('the owner of a server', () => {
  let server: PackagedServer;
  let before: string[];
  let reload: HeldReload;
  const sh = (script: string) => server.debian.exec(['sh', '-c', script]);
  const run = (...words: string[]) => server.stack.cli('lead', 'run', 'web-04', ...words);
  const restart = (...more: string[]) =>
    run('service.restart', '--param', 'unit=slow.service', '--yes', ...more);
  const slow = async (property: string) =>
    (await sh(`systemctl show --property=${property} --value slow.service`)).stdout.trim();
  const policy = (...lines: string[]) =>
    server.debian.write('/etc/intervene/policy.toml', ['version = 1', ...lines, ''].join('\n'));
  const ended = (id: string) =>
    eventually(
      'the job has ended',
      async () => {
        const view = await server.stack.job(id);
        return ['running', 'delivered', 'queued'].includes(view.state) ? null : view;
      },
      60_000,
    );
  const running = (id: string) =>
    eventually('the job runs', async () => (await server.stack.job(id)).state === 'running');
  const allow = async (actions: string) => `G-${(await server.stack.authorize(actions)).number}`;
  const sleep = async () => {
    const words = ['run', 'web-04', 'command.run', '--yes', '--detach', '--', 'sleep', '321'];
    const { id } = await server.stack.json<{ id: string }>('lead', ...words);
    await running(id);
    return id;
  };
  const sleepers = async () => (await server.debian.exec(['pgrep', '-fx', 'sleep 321'])).stdout;

  beforeAll(async () => {
    server = await PackagedServer.start(VERSION);
    await server.debian.write('/etc/systemd/system/slow.service', SLOW_UNIT);
    await server.debian.write('/srv/seconds', '0');
    reload = await HeldReload.install(server.debian);
    await server.debian.ok(['systemctl', 'daemon-reload']);
    await server.debian.ok(['systemctl', 'start', 'slow']);
    before = await server.files();
  }, 400_000);
  afterAll(() => server?.close());

  it('installs the package, and lets engineers diagnose, no more', async () => {
    await server.install(VERSION);
    const said = await server.enroll({ allow: ['diagnostics.*'] });
    expect(said).toContain('Its policy allows diagnostics.*, up to class A');
    await allow('diagnostics.*,service.*,command.run');
    const seen = await server.stack.cli('lead', 'diagnose', 'web-04');
    expect(seen.status, seen.stderr).toBe(0);
  });

  it('is obeyed against a grant of the client and an order of an engineer', async () => {
    const pid = await slow('MainPID');
    for (const refused of [await restart(), await run('command.run', '--yes', '--', 'true')]) {
      expect([refused.status, refused.stderr]).toEqual([
        3,
        expect.stringContaining('policy_denied'),
      ]);
    }
    expect(await slow('MainPID')).toBe(pid);
  });

  it('widens the policy, and the next order is carried out', async () => {
    const pid = await slow('MainPID');
    await policy(
      'allow = ["service.*", "command.run"]',
      'highest-class = "C"',
      'allow-steps-without-undo = true',
    );
    const done = await restart();
    expect(done.status, done.stderr).toBe(0);
    expect(await slow('ActiveState')).toBe('active');
    expect(await slow('MainPID')).not.toBe(pid);
  });

  it('sees a step that may be interrupted now stop within seconds when the client revokes', async () => {
    const grant = await allow('command.run');
    const id = await sleep();
    const at = performance.now();
    await revokeAll();
    expect((await ended(id)).state).toBe('cancelled');
    expect(performance.now() - at).toBeLessThan(30_000);
    expect(await sleepers()).toBe('');
    expect(grant).toMatch(/^G-/);
    const refused = await run('command.run', '--yes', '--', 'true');
    expect(refused.status).toBe(3);
  });

  it('sees a step that has to finish reach its end, and nothing after it', async () => {
    await allow('service.*');
    await server.debian.write('/srv/seconds', '8');
    const pid = await slow('MainPID');
    const restarting = restart();
    await eventually('the service is being started', async () => {
      return (await slow('ActiveState')) === 'activating';
    });
    await revokeAll();
    expect(await slow('ActiveState')).toBe('activating');
    const done = await restarting;
    expect(done.status, done.stderr).toBe(4);
    expect(await slow('ActiveState')).toBe('active');
    expect(await slow('MainPID')).not.toBe(pid);
  });

  it('sees a step that rolls back put back every byte, and nothing left to undo', async () => {
    const settings = ['Service.LimitNOFILE=4096'];
    const limit = `settings=${JSON.stringify(settings)}`;
    await server.stack.authorize('service.configure', '--limit', limit);
    const setUp = await setUpOf(server.debian);
    await reload.hold();
    const wanted = { unit: 'slow.service', enabled: true, dropIn: 'limits', settings };
    const configuring = server.stack.cli(
      'lead',
      ...['--json', 'run', 'web-04', 'service.configure', ...words(wanted), '--yes'],
    );
    await reload.held();
    expect(await reload.exists(DROP_IN)).toBe(true);
    expect(await setUpOf(server.debian)).not.toBe(setUp);
    await revokeAll();
    await eventually('it is put back', async () => !(await reload.exists(DROP_IN)), 30_000);
    await reload.release();
    const done = endOf<ServiceConfigureResult>(await configuring);
    expect(done).toMatchObject({
      status: 4,
      reason: 'revoked',
      result: {
        outcome: 'rolled_back',
        after: { enablement: 'disabled' },
        files: [],
        detail: 'The job was told to stop. Everything was put back as it was.',
      },
    });
    expect(await setUpOf(server.debian)).toBe(setUp);
    expect([await slow('UnitFileState'), await slow('NeedDaemonReload')]).toEqual([
      'disabled',
      'no',
    ]);
    expect((await server.stack.job(done.job)).state).toBe('cancelled');
    const undone = endOf<ServiceConfigureResult>(
      await server.stack.cli('lead', '--json', 'jobs', 'undo', done.job, '--yes'),
    );
    expect(undone.status).toBe(0);
    expect(undone.result.detail).toMatch(/^Nothing to undo/);
    expect(await setUpOf(server.debian)).toBe(setUp);
  });

  it('locks the server: what runs ends at once, and nothing starts', async () => {
    await allow('command.run');
    const id = await sleep();
    const locked = await sh('intervene-agent lock');
    expect([locked.status, locked.stderr]).toEqual([0, expect.stringContaining('Killed')]);
    expect(await sleepers()).toBe('');
    expect((await ended(id)).state).toBe('interrupted');
    const refused = await run('command.run', '--yes', '--', 'true');
    expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('locked')]);
  });

  it('purges the package while a job runs, and nothing is left behind', async () => {
    await sh('intervene-agent unlock');
    await eventually(
      'it is unlocked',
      async () => (await run('command.run', '--yes', '--', 'true')).status === 0,
    );
    await sleep();
    await server.apt('purge', 'intervene-agent');
    expect(await sleepers()).toBe('');
    expect((await server.debian.exec(['pgrep', '-f', 'intervene'])).stdout).toBe('');
    expect(await server.files()).toEqual(before);
    expect(await slow('ActiveState')).toBe('active');
  });

  async function revokeAll(): Promise<void> {
    for (const { number } of await grants()) {
      await server.stack.ok('carol', 'revoke', `G-${number}`, '--yes');
    }
  }

  async function grants(): Promise<{ number: number }[]> {
    const { items } = await server.stack.request<{ items: { number: number; state: string }[] }>(
      'carol',
      'GET',
      '/api/v1/grants',
    );
    return items.filter((item) => item.state === 'valid');
  }
});
