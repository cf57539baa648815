import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connectToRunner } from '../jobs/control-channel.ts';
import { runnerTimings, type RunnerCommand, type RunnerEvent } from '../jobs/control-messages.ts';
import { createJobFolder, writeReceived } from '../jobs/job-folder.ts';
import { jobId } from '../jobs/jobs-fixture.ts';
import { JournalReader } from '../jobs/journal-reader.ts';

let state: string;
let directory: string;
let job: string;
const sockets: Socket[] = [];
const runners: ChildProcess[] = [];

beforeEach(() => {
  state = realpathSync(mkdtempSync(join(tmpdir(), 'ivr-')));
  job = jobId();
  mkdirSync(join(state, 'jobs'));
  directory = join(state, 'jobs', job);
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const runner of runners.splice(0)) await kill(runner);
  rmSync(state, { recursive: true, force: true });
});

/** The runner alone, as process 1 of its namespaces; the test is its agent. */
async function startRunner(argv: string[], startWithinMs = 20_000): Promise<ChildProcess> {
  await createJobFolder(directory);
  await writeReceived(directory, {
    job,
    server: '',
    action: 'command.run',
    actionVersion: 1,
    mode: 'apply',
    parameters: { argv },
    target: null,
    plan: null,
    undoes: null,
    agentMode: 'resident',
    maxRuntimeSeconds: 60,
    onDisconnect: 'finish',
    spoolCapBytes: 1024 * 1024,
  });
  const sandbox = ['--unshare-pid', '--as-pid-1', '--die-with-parent', '--dev-bind', '/', '/'];
  const entry = join(import.meta.dirname, 'main.ts');
  const runner = spawn(
    'bwrap',
    [...sandbox, '--proc', '/proc', '--', process.execPath, entry, String(startWithinMs)],
    { cwd: directory, env: {}, stdio: 'ignore' },
  );
  runners.push(runner);
  await vi.waitFor(() => expect(existsSync(join(directory, 'control.sock'))).toBe(true), {
    timeout: 30_000,
    interval: 5,
  });
  return runner;
}

async function kill(runner: ChildProcess): Promise<void> {
  if (runner.exitCode !== null || runner.signalCode !== null) return;
  runner.kill('SIGKILL');
  await new Promise((resolve) => {
    runner.once('exit', resolve);
  });
}

const exit = (runner: ChildProcess) =>
  new Promise<number | null>((resolve) => {
    runner.once('exit', (code) => resolve(code));
  });

class Agent {
  readonly events: RunnerEvent[] = [];
  readonly socket: Socket;
  isClosed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      const lines = text.split('\n');
      text = lines.pop()!;
      this.events.push(...lines.map((line) => JSON.parse(line) as RunnerEvent));
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  send(command: RunnerCommand): void {
    this.socket.write(`${JSON.stringify(command)}\n`);
  }

  async sees(type: RunnerEvent['type']): Promise<RunnerEvent> {
    return vi.waitFor(() => this.events.find((event) => event.type === type) ?? never(), {
      timeout: 30_000,
      interval: 5,
    });
  }
}

function never(): never {
  throw new Error('not yet');
}

async function agent(): Promise<Agent> {
  // Between bind and listen the socket is there and refuses.
  const socket = await vi.waitFor(() => connectToRunner(directory), { timeout: 30_000 });
  sockets.push(socket);
  return new Agent(socket);
}

const start: RunnerCommand = {
  type: 'start',
  sealedInputs: {},
  interrupt: 'now',
  timings: runnerTimings,
};

function journal(): string[] {
  const reader = new JournalReader(directory);
  reader.refresh();
  return reader.records.map((record) => record.type);
}

test('a runner that gets no start leaves by itself and has done nothing', async () => {
  const runner = await startRunner(['true'], 300);
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received']);
});

test('a runner waits while an agent is connected, and leaves after it has gone', async () => {
  const runner = await startRunner(['true'], 300);
  const first = await agent();
  await sleep(700);
  expect(runner.exitCode).toBe(null);
  first.socket.destroy();
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received']);
});

test('a second start is refused, by the same agent and by another', async () => {
  const runner = await startRunner(['sh', '-c', 'echo once; sleep 0.5']);
  const first = await agent();
  first.send(start);
  first.send(start);
  const second = await agent();
  second.send(start);
  expect(await first.sees('refused')).toEqual({ type: 'refused', why: 'already_started' });
  expect(await second.sees('refused')).toEqual({ type: 'refused', why: 'already_started' });
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received', 'started', 'ended']);
});

test('a stop before the start ends the runner without a start', async () => {
  const runner = await startRunner(['true']);
  const first = await agent();
  first.send({ type: 'stop', mode: 'now', why: 'cancelled' });
  first.send(start);
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received']);
});

test('a runner that started ignores the request to leave', async () => {
  const runner = await startRunner(['sleep', '0.3']);
  const first = await agent();
  first.send(start);
  first.send({ type: 'leave_unless_started' });
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received', 'started', 'ended']);
});

test('an agent that vanishes right after the start loses nothing', async () => {
  const runner = await startRunner(['sh', '-c', 'seq 1 1000; sleep 0.2; seq 1 1000']);
  const first = await agent();
  first.send(start);
  await first.sees('grew');
  first.socket.destroy();
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received', 'started', 'ended']);
});

test('an agent that never reads does not hold up the job', async () => {
  const script = 'i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done';
  const runner = await startRunner(['sh', '-c', script]);
  (await agent()).socket.pause();
  const first = await agent();
  first.send(start);
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received', 'started', 'ended']);
});

test.each([
  ['no JSON', 'hello\n'],
  ['JSON that is no message', '42\n'],
  ['a null', 'null\n'],
  ['a line without an end', 'x'.repeat(3 * 1024 * 1024)],
  ['bytes', '\u0000\u0001\n'],
])('a connection that sends %s is closed, and the runner goes on', async (_what, text) => {
  const runner = await startRunner(['true']);
  const bad = await agent();
  bad.socket.write(text);
  await vi.waitFor(() => expect(bad.isClosed).toBe(true), { timeout: 30_000 });
  const good = await agent();
  good.send(start);
  expect(await exit(runner)).toBe(0);
  expect(journal()).toEqual(['received', 'started', 'ended']);
});

test('a command of no known type is refused and nothing else', async () => {
  await startRunner(['true']);
  const first = await agent();
  first.send(start);
  first.send({ type: 'dance' } as unknown as RunnerCommand);
  await first.sees('grew');
  expect(journal()).toContain('started');
});
