import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PackagedServer } from '../harness/packaged-server.ts';
import { eventually } from '../harness/process.ts';

const OLD = '0.1.0';
const NEW = '0.1.1';

describe('the Debian package on a booted server', () => {
  let server: PackagedServer;
  let before: string[];
  beforeAll(async () => {
    server = await PackagedServer.start(OLD, NEW);
    before = await server.files();
  }, 400_000);
  afterAll(() => server?.close());

  const sh = (script: string) => server.debian.exec(['sh', '-c', script]);
  const agentPid = async () =>
    (await sh('systemctl show --property=MainPID --value intervene-agent')).stdout.trim();
  const programOf = async (pid: string) => (await sh(`readlink /proc/${pid}/exe`)).stdout.trim();
  const processes = async (words: string) =>
    (await server.debian.exec(['pgrep', '--list-full', '--full', words])).stdout
      .split('\n')
      .filter((line) => line !== '');
  const isActive = async () => (await sh('systemctl is-active intervene-agent')).stdout.trim();
  /** Starts a job that says a line each 50 ms, and waits until it has begun to. */
  async function startJob(lines: number): Promise<string> {
    const script = `i=0; while [ $i -lt ${lines} ]; do i=$((i + 1)); echo line $i; sleep 0.05; done`;
    const words = ['run', 'web-04', 'command.run', '--yes', '--detach', '--', 'sh', '-c', script];
    const { id } = await server.stack.json<{ id: string }>('lead', ...words);
    await eventually('the job says something', async () => {
      const { state, log } = await server.stack.job(id);
      return state === 'running' && log.committedBytes > 0;
    });
    return id;
  }
  const ended = (id: string) =>
    eventually(
      'the job has ended',
      async () => {
        const view = await server.stack.job(id);
        return ['running', 'delivered', 'queued'].includes(view.state) ? null : view;
      },
      120_000,
    );

  it('installs without starting anything, and says that the server is not enrolled', async () => {
    await server.install(OLD);
    expect(await isActive()).toBe('inactive');
    expect((await sh('systemctl is-enabled intervene-agent')).stdout.trim()).toBe('disabled');
    const status = await sh('intervene-agent status');
    expect([status.status, status.stdout]).toEqual([5, expect.stringContaining('not enrolled')]);
    expect((await sh('intervene-agent policy check')).stdout).toMatch(/Highest class +A/);
    expect((await sh('dpkg --verify intervene-agent')).stdout).toBe('');
  });

  it('is enrolled with digests and questions like those of the installer', async () => {
    const said = await server.enroll({
      allow: ['command.run'],
      highestClass: 'C',
      allowNoUndo: true,
    });
    for (const words of [
      'CA key',
      'Operator root',
      'Account keys',
      'Its policy allows command.run',
    ])
      expect(said).toContain(words);
    expect(await isActive()).toBe('active');
    expect(await programOf(await agentPid())).toContain(`/versions/${OLD}-`);
    await server.stack.authorize('command.run');
  });

  it('is upgraded under a running job, which loses neither a byte nor a file of its program', async () => {
    const old = (await sh('readlink -f /usr/lib/intervene-agent/current')).stdout.trim();
    const files = (await sh(`cd ${old} && find . -type f | sort | xargs sha256sum`)).stdout;
    const pid = await agentPid();
    const job = await startJob(400);
    await server.install(NEW);
    await server.stack.connected();
    expect((await server.stack.job(job)).state).toBe('running');
    expect(await programOf(await agentPid())).toContain(`/versions/${NEW}-`);
    expect(await agentPid()).not.toBe(pid);
    expect((await sh(`cd ${old} && find . -type f | sort | xargs sha256sum`)).stdout).toBe(files);

    const view = await ended(job);
    expect(view).toMatchObject({ state: 'succeeded', exitStatus: 0 });
    await eventually('the log is compared', async () => (await server.stack.job(job)).log.verified);
    const log = await server.stack.ok('lead', 'logs', job, '--tail', 'all');
    expect(log).toBe(Array.from({ length: 400 }, (_, at) => `line ${at + 1}\n`).join(''));

    // The version that nobody runs any more goes when the agent is started next.
    expect((await sh('systemctl restart intervene-agent')).status).toBe(0);
    expect((await sh(`test -e ${old}`)).status).toBe(1);
    await server.stack.connected();
  });

  it('keeps the policy that the owner wrote, over upgrades', async () => {
    const policy = await server.debian.ok(['cat', '/etc/intervene/policy.toml']);
    expect(policy).toContain(
      'allow = ["command.run"]\nhighest-class = "C"\nallow-steps-without-undo = true\n',
    );
  });

  it('is whole again when it is installed once more over damage', async () => {
    const program = (await sh('readlink -f /usr/lib/intervene-agent/current')).stdout.trim();
    await sh(`rm ${program}/runner.mjs`);
    await server.install(NEW);
    expect((await sh('test -s /usr/lib/intervene-agent/current/runner.mjs')).status).toBe(0);
    await server.stack.connected();
    expect(await ended(await startJob(2))).toMatchObject({ state: 'succeeded' });
  });

  it('refuses to be mixed with an agent that install.sh installed', async () => {
    await sh(
      'mkdir -p /usr/lib/intervene-agent/bin && touch /usr/lib/intervene-agent/bin/intervene-agent',
    );
    await expect(server.install(NEW)).rejects.toThrow('install.sh remove');
    await sh('rm -r /usr/lib/intervene-agent/bin');
    await server.install(NEW);
    await server.stack.connected();
  });

  it('ends its jobs when it is removed, and keeps who it is and what it may', async () => {
    const job = await startJob(2_000);
    await server.apt('remove', 'intervene-agent');
    expect(await processes('intervene-agent')).toEqual([]);
    expect(await processes('echo line')).toEqual([]);
    const left = (await server.files()).filter((name) => !before.includes(name));
    expect(left.filter((name) => !/^\/(?:etc|var\/lib)\/intervene(?:\/|$)/.test(name))).toEqual([
      '/etc/systemd/system/multi-user.target.wants/intervene-agent.service',
    ]);
    await server.install(NEW);
    await server.stack.connected();
    expect(await ended(job)).toMatchObject({ state: 'interrupted' });
    expect(await ended(await startJob(2))).toMatchObject({ state: 'succeeded' });
  });

  it('leaves nothing when it is purged', async () => {
    await server.apt('purge', 'intervene-agent');
    expect(await server.files()).toEqual(before);
    expect(await processes('intervene')).toEqual([]);
    expect((await sh('systemctl list-units --all --plain --no-legend "intervene*"')).stdout).toBe(
      '',
    );
  });
});
