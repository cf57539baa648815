import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AgentWorld } from '../test/fixtures/agent-world.ts';
import { run } from '../test/harness/process.ts';

const soon = { timeout: 30_000 };

const root = path.resolve(import.meta.dirname, '..');
const source = [process.execPath, path.join(root, 'agent/main.ts')];
const bundled = [process.execPath, path.join(root, 'dist/agent/intervene-agent.mjs')];

const agent = (args: string[], input = '') => run([...source, ...args], { input });

describe('intervene-agent', () => {
  const commands = ['enroll', 'run', 'status', 'lock', 'unlock', 'jobs', 'jobs prune', 'trust'];
  it.each([...commands, 'policy check'])(
    'explains %s with examples and exit codes',
    async (command) => {
      const { status, stdout } = await agent([...command.split(' '), '--help']);
      expect(status).toBe(0);
      expect(stdout.match(/^ {2}intervene-agent /gm)).toHaveLength(2);
      expect(stdout).toContain('Exit status:');
    },
  );

  it.each([
    [['nonsense'], /unknown command/],
    [['stat'], /Did you mean status/],
    [['run', '--nonsense'], /unknown option/],
    [['enroll', '--mode', 'resident'], /--root/],
    [[], /Usage/],
  ])('ends with 2 for %j', async (args, message) => {
    const { status, stdout, stderr } = await agent(args);
    expect(stderr).toMatch(message);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });
});

describe('intervene-agent policy check', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-mn-'));
    file = path.join(folder, 'policy.toml');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('says what the policy allows, and its digest', async () => {
    writeFileSync(file, 'version = 1\nallow = ["filesystem.*"]\nhighest-class = "C"\n');
    const { status, stdout } = await agent(['policy', 'check', '--policy', file]);
    expect(stdout).toMatch(/Allowed +filesystem\.\*/);
    expect(stdout).toMatch(/Digest +sha256:[0-9a-f]{64}/);
    expect(status).toBe(0);
  });

  it('says why a policy counts for nothing', async () => {
    writeFileSync(file, 'version = 1\nallwo = []\n');
    const wrong = await agent(['policy', 'check', '--policy', file]);
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringContaining('every order')]);
    const json = await agent(['policy', 'check', '--policy', `${file}.none`, '--json']);
    expect([json.status, JSON.parse(json.stdout)]).toMatchObject([1, { usable: false }]);
  });
});

describe.each([
  ['from source', source],
  ['bundled', bundled],
])('intervene-agent run, %s', (_name, program) => {
  let world: AgentWorld;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    if (program === bundled) {
      const built = await run([process.execPath, path.join(root, 'scripts/build.ts')]);
      expect(built.stderr).toBe('');
    }
  }, 120_000);
  beforeEach(async () => {
    world = await AgentWorld.create();
    writeFileSync(
      world.config.configFile,
      `control-plane = ["${world.farEnd.address}"]\nstate-directory = "${world.config.stateDirectory}"\n`,
    );
  });
  afterEach(async () => {
    for (const child of running.splice(0)) await end(child, 'SIGKILL');
    await world.remove();
  });

  const files = () => ['--config', world.config.configFile, '--policy', world.config.policyFile];
  const marker = () => world.file('marker');

  function startAgent(): ChildProcess {
    const child = spawn(program[0]!, [...program.slice(1), 'run', ...files()], {
      stdio: ['ignore', 'ignore', process.env['AGENT_TEST_LOG'] ? 'inherit' : 'ignore'],
    });
    running.push(child);
    return child;
  }
  async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill(signal);
    await once(child, 'exit');
    return child.exitCode;
  }

  it('carries a job out, says how it is doing, and stops when it is told', async () => {
    const child = startAgent();
    const session = await world.farEnd.session();
    const delivery = world.command(['sh', '-c', 'echo hello; echo oops >&2; exit 4']);
    session.send({ job: delivery });
    const { receipt, output } = await world.ended(session, delivery.jobId);
    expect(output).toBe('hello\n');
    expect(receipt).toMatchObject({ outcome: 'failed', exitStatus: 4 });
    const status = await run([...program, 'status', ...files(), '--json']);
    expect(JSON.parse(status.stdout)).toMatchObject({
      running: true,
      enrolled: true,
      locked: false,
      connection: 'connected',
      pid: child.pid,
    });
    expect(status.status).toBe(0);
    const second = await run([...program, 'run', ...files()]);
    expect([second.status, second.stderr]).toEqual([1, expect.stringContaining('already')]);
    expect(await end(child, 'SIGTERM')).toBe(0);
    expect((await run([...program, 'status', ...files()])).status).toBe(5);
  });

  it.each(['SIGTERM', 'SIGKILL'] as const)(
    'leaves jobs running after %s, and goes on with them',
    async (signal) => {
      const first = startAgent();
      let session = await world.farEnd.session();
      const delivery = world.command([
        'sh',
        '-c',
        `echo started >> ${marker()}; echo one; sleep 2; echo two; exit 5`,
      ]);
      session.send({ job: delivery });
      await expect.poll(() => world.farEnd.log(delivery.jobId).lines, soon).toBe(1);
      await end(first, signal);
      world.positions = [
        {
          jobId: delivery.jobId,
          known: true,
          nextSequence: 2,
          logOffset: world.farEnd.log(delivery.jobId).committed.length,
        },
      ];
      startAgent();
      session = await world.farEnd.session(1);
      const { receipt, output } = await world.ended(session, delivery.jobId);
      expect(receipt).toMatchObject({ outcome: 'failed', exitStatus: 5 });
      expect(output).toBe('one\ntwo\n');
      expect(readFileSync(marker(), 'utf8')).toBe('started\n');
    },
  );

  it('is locked within a second, also when the agent is dead and the network gone', async () => {
    const child = startAgent();
    const session = await world.farEnd.session();
    const delivery = world.command([
      'sh',
      '-c',
      `setsid sh -c 'while :; do echo beat > ${marker()}; sleep 0.05; done' & wait`,
    ]);
    session.send({ job: delivery });
    await expect.poll(() => existsSync(marker()), soon).toBe(true);
    await end(child, 'SIGKILL');
    await world.farEnd.stop();
    const startedAt = performance.now();
    const { status, stderr } = await run([...program, 'lock', ...files()]);
    // From source the machine also compiles; the promise is about what is installed.
    expect(performance.now() - startedAt).toBeLessThan(program === bundled ? 1_000 : 3_000);
    expect(stderr).toContain(delivery.jobId);
    expect(status).toBe(0);
    const lastBeat = statSync(marker()).mtimeMs;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(statSync(marker()).mtimeMs).toBe(lastBeat);
    expect((await run([...program, 'status', ...files(), '--json'])).stdout).toContain(
      '"locked": true',
    );
    expect((await run([...program, 'unlock', ...files()])).status).toBe(0);
    expect((await run([...program, 'lock', ...files()])).stderr).toContain('Nothing was running');
  });

  it('says why it does not start', async () => {
    writeFileSync(world.config.configFile, 'control-plane = []\n');
    const broken = await run([...program, 'run', ...files()]);
    expect([broken.status, broken.stderr]).toEqual([1, expect.stringContaining('control-plane')]);
    writeFileSync(world.config.configFile, 'control-plane = ["127.0.0.1:1"]\n');
    const none = path.join(world.config.stateDirectory, 'none');
    const alone = await run([...program, 'run', ...files(), '--state', none]);
    expect([alone.status, alone.stderr]).toEqual([1, expect.stringContaining('not enrolled')]);
  });
});
