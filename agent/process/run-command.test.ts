import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CommandStartError } from './command-start-error.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import { Pipes } from './pipe.ts';
import { runCommand, type CommandSurroundings } from './run-command.ts';

let directory: string;
let notes: string[];
let pieces: { channel: 'out' | 'err'; bytes: Buffer }[];
let surroundings: CommandSurroundings;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ivc-'));
  notes = [];
  pieces = [];
  surroundings = {
    pipes: new Pipes(directory),
    openOutput: () => ({
      write: (channel, bytes) => pieces.push({ channel, bytes: Buffer.from(bytes) }) > 0,
      room: () => null,
      end: () => undefined,
    }),
    note: (text) => void notes.push(text),
    kill: (pid, signal) => {
      try {
        process.kill(-pid, signal);
      } catch {
        // The group has ended.
      }
    },
    termGraceMs: 200,
    drainMs: 200,
  };
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const run = (argv: string[], options?: CommandOptions) => runCommand(surroundings, argv, options);
const shell = (script: string, options?: CommandOptions) => run(['sh', '-c', script], options);
const printed = (channel: 'out' | 'err') =>
  Buffer.concat(pieces.filter((piece) => piece.channel === channel).map((piece) => piece.bytes));

test('output and exit status arrive', async () => {
  const result = await shell('echo out; echo err >&2; exit 7');
  expect(result).toMatchObject({ exitStatus: 7, signal: null, timedOut: false });
  expect(printed('out').toString()).toBe('out\n');
  expect(printed('err').toString()).toBe('err\n');
});

test('a signal is not an exit status', async () => {
  expect(await shell('kill -SEGV $$')).toMatchObject({ exitStatus: null, signal: 'SIGSEGV' });
});

test('words are passed as they are; no shell reads them', async () => {
  const words = ['$(id)', '-o', '--', 'a b', '`x`', 'quote\'"', 'line\nbreak', '', '*'];
  const result = await run(['printf', '%s\\0', ...words], { output: 'capture' });
  expect(result.out.split('\0').slice(0, -1)).toEqual(words);
});

test('the environment is fixed and nothing of this process is in it', async () => {
  const result = await run(['env'], { output: 'capture' });
  const names = result.out
    .trim()
    .split('\n')
    .map((line) => line.split('=')[0]);
  expect(new Set(names)).toEqual(new Set(['HOME', 'LANG', 'PATH', 'TERM']));
  const own = await run(['env'], { output: 'capture', environment: { ONLY: 'this' } });
  expect(own.out).toBe('ONLY=this\n');
});

test('standard input is empty unless something is given', async () => {
  expect((await run(['cat'], { output: 'capture' })).out).toBe('');
  const input = 'x'.repeat(300_000);
  expect((await run(['wc', '-c'], { output: 'capture', input })).out.trim()).toBe('300000');
});

test('a program may ignore its input', async () => {
  const result = await run(['true'], { input: 'x'.repeat(1_000_000) });
  expect(result.exitStatus).toBe(0);
});

test('programs can open /dev/stdin, /dev/stdout and /dev/stderr', async () => {
  const result = await shell('cat /dev/stdin > /dev/stdout; echo e > /dev/stderr', {
    input: 'secret',
    output: 'capture',
  });
  expect(result).toMatchObject({ out: 'secret', err: 'e\n', exitStatus: 0 });
});

test('pipes and input leave no name behind', async () => {
  await shell('cat; ls', { input: 'secret' });
  await surroundings.pipes.prepare();
  const names = readdirSync(directory).filter((name) => !name.startsWith('.pipe-'));
  expect(names).toEqual([]);
});

test('no descriptor of this process reaches a command, and none is left open here', async () => {
  await shell('true');
  const before = readdirSync('/proc/self/fd').length;
  const result = await shell('ls /proc/self/fd', { output: 'capture', input: 'x' });
  // What this process itself was started with may be open everywhere.
  const bare = spawnSync('sh', ['-c', 'ls /proc/self/fd'], { encoding: 'utf8' });
  expect(result.out).toBe(bare.stdout);
  await sleep(10);
  expect(readdirSync('/proc/self/fd').length).toBe(before);
});

test('10 MB of quick output arrive whole, and in order', async () => {
  const script = 'for (let i = 0; i < 1e6; i++) s += `${String(i).padStart(9, "0")}\\n`;';
  const node = `let s = ''; ${script} process.stdout.write(s);`;
  const result = await run([process.execPath, '-e', node]);
  expect(result.exitStatus).toBe(0);
  const text = printed('out');
  expect(text.length).toBe(10_000_000);
  expect(text.subarray(-10).toString()).toBe('000999999\n');
});

test('bytes that are no text, and a line without an end, pass unchanged', async () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  writeFileSync(join(directory, 'bytes'), all);
  await shell(`cat ${directory}/bytes; head -c 10000000 /dev/zero`);
  const bytes = printed('out');
  expect(bytes.subarray(0, 256).equals(all)).toBe(true);
  expect(bytes.subarray(256).equals(Buffer.alloc(10_000_000))).toBe(true);
});

test('lines on both channels keep their order when there is time between them', async () => {
  await shell('for i in 1 2 3; do echo o$i; sleep 0.05; echo e$i >&2; sleep 0.05; done');
  expect(pieces.map((piece) => piece.bytes.toString().trim())).toEqual([
    'o1',
    'e1',
    'o2',
    'e2',
    'o3',
    'e3',
  ]);
});

test('a program that nobody reads waits, and this process does not grow', async () => {
  let isOpen = false;
  let open = () => undefined;
  let taken = 0;
  const gate = new Promise<void>((resolve) => {
    open = () => {
      isOpen = true;
      resolve();
      return undefined;
    };
  });
  surroundings.openOutput = () => ({
    write: (_channel, bytes) => (taken += bytes.length) > 0,
    room: () => (isOpen ? null : gate),
    end: () => undefined,
  });
  const running = run(['head', '-c', '5000000', '/dev/zero']);
  await sleep(300);
  expect(taken).toBeLessThan(300_000);
  open();
  await running;
  expect(taken).toBe(5_000_000);
});

test('captured output is kept up to 1 MiB and says when it was more', async () => {
  const short = await run(['printf', 'äöü'], { output: 'both' });
  expect(short).toMatchObject({ out: 'äöü', truncated: false });
  expect(printed('out').toString()).toBe('äöü');
  const long = await run(['head', '-c', '3000000', '/dev/zero'], { output: 'capture' });
  expect(long.out.length).toBe(1024 * 1024);
  expect(long.truncated).toBe(true);
});

test('a descriptor of its own carries progress', async () => {
  const progress: Buffer[] = [];
  const result = await shell('echo 1 10 100 >&3; echo 2 20 100 >&3; echo out', {
    output: 'capture',
    onDescriptor: (bytes) => progress.push(bytes),
  });
  expect(Buffer.concat(progress).toString()).toBe('1 10 100\n2 20 100\n');
  expect(result.out).toBe('out\n');
});

test('further descriptors are passed behind it', async () => {
  writeFileSync(join(directory, 'file'), 'content');
  const file = openSync(join(directory, 'file'), 'r');
  try {
    const three = await shell('cat <&3', { output: 'capture', descriptors: [file] });
    expect(three.out).toBe('content');
    const onDescriptor = () => undefined;
    const again = openSync(join(directory, 'file'), 'r');
    const four = await shell('cat <&4', { output: 'capture', descriptors: [again], onDescriptor });
    closeSync(again);
    expect(four.out).toBe('content');
  } finally {
    closeSync(file);
  }
});

test('a command that takes too long is told to end', async () => {
  const start = performance.now();
  const result = await run(['sleep', '60'], { timeoutMs: 100 });
  expect(result).toMatchObject({ exitStatus: null, signal: 'SIGTERM', timedOut: true });
  expect(performance.now() - start).toBeLessThan(2_000);
});

test('a command that ignores that is killed, and its children are', async () => {
  const script = 'trap "" TERM; sh -c "trap \'\' TERM; echo $$; sleep 61" & sleep 62';
  const result = await shell(script, { timeoutMs: 150 });
  expect(result).toMatchObject({ exitStatus: null, signal: 'SIGKILL', timedOut: true });
  const group = readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isRunning(pid, '6[12]'));
  expect(group).toEqual([]);
});

test('a command that a signal stops has not timed out', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  const result = await run(['sleep', '60'], { signal: controller.signal });
  expect(result).toMatchObject({ signal: 'SIGTERM', timedOut: false });
  const late = await run(['sleep', '60'], { signal: controller.signal });
  expect(late.signal).toBe('SIGTERM');
});

test('a process in the background that holds the output does not hold the end', async () => {
  const start = performance.now();
  const result = await shell('sleep 3 & echo done');
  expect(result.exitStatus).toBe(0);
  expect(performance.now() - start).toBeLessThan(1_500);
  expect(printed('out').toString()).toBe('done\n');
  expect(notes).toEqual([expect.stringContaining('background')]);
});

test('what a process in the background prints soon after is still read', async () => {
  await shell('(sleep 0.1; echo late) & echo done');
  expect(printed('out').toString()).toBe('done\nlate\n');
  expect(notes).toEqual([]);
});

const failures: [string, string[], CommandOptions, string, number, RegExp][] = [
  ['is not there', ['no-such-program'], {}, 'not_found', 127, /no-such-program: not found/],
  ['is not there, by path', ['/no/such'], {}, 'not_found', 127, /not found/],
  ['has no name', [''], {}, 'not_found', 127, /no program/],
  ['is a folder', ['/etc'], {}, 'not_executable', 126, /not executable/],
  ['may not be executed', ['/etc/passwd'], {}, 'not_executable', 126, /not executable/],
  ['gets too much', ['true', 'x'.repeat(3e6)], {}, 'arguments_too_long', 126, /too long/],
  [
    'would run nowhere',
    ['true'],
    { directory: '/no/such' },
    'directory_missing',
    126,
    /no such directory/,
  ],
];

test.each(failures)('a program that %s fails with a clear reason', async (...failure) => {
  const [, argv, options, reason, exitStatus, message] = failure;
  const error: unknown = await run(argv, options).then(
    (result: CommandResult) => result,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(CommandStartError);
  expect(error).toMatchObject({ failure: reason, exitStatus });
  expect((error as Error).message).toMatch(message);
});

test('a script whose interpreter is missing is there, but not executable', async () => {
  const script = join(directory, 'script');
  writeFileSync(script, '#!/no/such/interpreter\n');
  chmodSync(script, 0o755);
  await expect(run([script])).rejects.toMatchObject({ failure: 'not_executable' });
});

function isRunning(pid: string, seconds: string): boolean {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    return new RegExp(`^sleep\0${seconds}\0$`).test(command);
  } catch {
    return false;
  }
}
