import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectToRunner } from './control-channel.ts';
import { runnerFile } from './runner-record.ts';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** What bubblewrap or a runner that cannot run say; never output of a job. */
const STDERR_FILE = 'runner-stderr';
/** Flags of Node that every runner is started with. */
export const RUNNER_FLAGS = ['--disable-sigusr1', '--max-semi-space-size=1'] as const;
/** A machine in trouble takes its time; one that cannot run it at all says so at once. */
const CONNECT_WITHIN_MS = 60_000;
const LAST_WORDS_CHARACTERS = 2_000;
const DEAD_WITHIN_MS = 5_000;

/** Thrown when a runner did not come up; `message` ends with what it said. */
export class RunnerStartError extends Error {
  override name = 'RunnerStartError';
}

export interface RunnerProgram {
  bwrapPath: string;
  nodePath: string;
  /** The runner's main file. */
  entry: string;
  /** How long it waits for `start` while no agent is connected. */
  startWithinMs: number;
}

export interface Sandbox {
  /** Arguments of bubblewrap. */
  arguments: readonly string[];
  /** A seccomp filter, or none. */
  filter: Buffer | null;
}

/**
 * Starts a runner in its own session and connects to it. Of this process's environment it gets the folder
 * of compiled modules alone (node(1), NODE_COMPILE_CACHE), and nothing else is inherited. It outlives this process. Throws RunnerStartError.
 */
export async function startRunner(
  program: RunnerProgram,
  sandbox: Sandbox,
  directory: string,
): Promise<Socket> {
  const stderr = openSync(join(directory, STDERR_FILE), 'w', 0o600);
  const record = runnerFile(directory);
  mkdirSync(dirname(record), { recursive: true, mode: 0o700 });
  rmSync(record, { force: true });
  const info = openSync(record, 'wx', 0o600);
  // After another boot its pid means nothing.
  writeSync(info, bootId());
  let failure: string | null = null;
  try {
    const node = [program.nodePath, ...RUNNER_FLAGS, program.entry];
    const child = spawn(
      program.bwrapPath,
      [
        ...sandbox.arguments,
        ...['--info-fd', '3'],
        ...(sandbox.filter === null ? [] : ['--seccomp', '4']),
        ...['--', ...node, String(program.startWithinMs)],
      ],
      {
        cwd: '/',
        env: compileCache(process.env),
        detached: true,
        stdio: [
          'ignore',
          'ignore',
          stderr,
          info,
          ...(sandbox.filter === null ? [] : ['pipe' as const]),
        ],
      },
    );
    if (sandbox.filter !== null) {
      const filter = child.stdio[4] as Writable;
      // Whoever does not read it ends, and says why.
      filter.on('error', () => undefined);
      filter.end(sandbox.filter);
    }
    child.on('error', (error) => {
      failure = error.message;
    });
    child.on('exit', (code, signal) => {
      failure ??= `exited with ${code ?? signal}`;
    });
    child.unref();
  } finally {
    closeSync(stderr);
    closeSync(info);
  }
  const until = Date.now() + CONNECT_WITHIN_MS;
  for (let waitMs = 2; ; waitMs = Math.min(waitMs + 1, 20)) {
    const socket = await connectToRunner(directory).catch(() => null);
    if (socket !== null) return socket;
    if (failure !== null || Date.now() > until) break;
    await sleep(waitMs);
  }
  await killRunner(directory);
  throw new RunnerStartError(`no runner: ${failure ?? 'no answer'}: ${lastWords(directory)}`);
}

function lastWords(directory: string): string {
  try {
    return readFileSync(join(directory, STDERR_FILE), 'utf8').trim().slice(-LAST_WORDS_CHARACTERS);
  } catch {
    return '';
  }
}

interface RunnerIdentity {
  pid: number;
  namespace: string;
}

/** The runner of a job's folder; null when none is recorded or it is gone. */
function findRunner(directory: string): RunnerIdentity | null {
  try {
    const record = readFileSync(runnerFile(directory), 'utf8');
    const boot = bootId();
    if (!record.startsWith(boot)) return null;
    const info = JSON.parse(record.slice(boot.length)) as Record<string, number>;
    const identity = { pid: info['child-pid']!, namespace: `pid:[${info['pid-namespace']}]` };
    return isAlive(identity) ? identity : null;
  } catch {
    return null;
  }
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
}

/** Compares the pid namespace, which a later process of the same number does not have. */
function isAlive({ pid, namespace }: RunnerIdentity): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`) === namespace;
  } catch {
    return false;
  }
}

export function isRunnerAlive(directory: string): boolean {
  return findRunner(directory) !== null;
}

/**
 * Kills the runner of `directory` and, with its pid namespace, everything it started. Resolves to whether
 * it is gone; a process stuck in the kernel may keep it for longer than 5 s.
 */
export async function killRunner(directory: string): Promise<boolean> {
  const identity = findRunner(directory);
  if (identity === null) return true;
  const until = Date.now() + DEAD_WITHIN_MS;
  try {
    process.kill(identity.pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
  while (isAlive(identity)) {
    if (Date.now() > until) return false;
    await sleep(2);
  }
  return true;
}

function compileCache({ NODE_COMPILE_CACHE }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
}
