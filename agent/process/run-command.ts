import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CapturedOutput } from './captured-output.ts';
import { CommandStartError, commandStartError } from './command-start-error.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import type { Pipes } from './pipe.ts';

export const minimalEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  HOME: '/root',
  TERM: 'dumb',
};

/** Time to read what lies in a pipe, at most 64 KiB, before a background process is cut off. */
const LAST_LOOK_MS = 20;

export interface CommandOutput {
  /** True when the bytes are not needed any more; otherwise they are kept. */
  write(channel: 'out' | 'err', bytes: Buffer): boolean;
  /** Null while there is room; otherwise resolves when writing may go on. */
  room(): Promise<void> | null;
  end(): void;
}

/** What the runner gives a command to live in. */
export interface CommandSurroundings {
  pipes: Pipes;
  openOutput(): CommandOutput;
  note(text: string): void;
  /** Sends a signal to the command with this pid and to all that belongs to it. */
  kill(pid: number, signal: NodeJS.Signals): void;
  termGraceMs: number;
  drainMs: number;
}

/**
 * Runs one program through pipes, in a session of its own, and resolves when it has ended and its output
 * has arrived. Reading stops while the output has no room, so that the program waits, not memory.
 * Throws CommandStartError when it could not be started.
 */
export async function runCommand(
  surroundings: CommandSurroundings,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  const { pipes } = surroundings;
  const [program, ...words] = argv;
  if (program === undefined || program === '') {
    throw new CommandStartError('not_found', 'no program was named');
  }
  const mode = options.output ?? 'log';
  const output = mode === 'capture' ? null : surroundings.openOutput();
  const captured = { out: new CapturedOutput(), err: new CapturedOutput() };
  const readers: Reader[] = [];
  const ends: number[] = [];

  const readFrom = async (take: (bytes: Buffer) => boolean): Promise<number> => {
    const reader = new Reader(() => output?.room() ?? null);
    const end = await reader.open(pipes, take);
    readers.push(reader);
    ends.push(end);
    return end;
  };
  const takerOf = (channel: 'out' | 'err') => (bytes: Buffer) => {
    options.onOutput?.(channel, Buffer.from(bytes));
    if (mode !== 'log') captured[channel].take(bytes);
    return output?.write(channel, bytes) ?? true;
  };
  const { onDescriptor } = options;
  const takeExtra = (bytes: Buffer) => {
    onDescriptor?.(Buffer.from(bytes));
    return true;
  };

  let child: ChildProcess;
  try {
    const out = await readFrom(takerOf('out'));
    const err = await readFrom(takerOf('err'));
    const extra = [...(options.descriptors ?? [])];
    if (onDescriptor !== undefined) extra.unshift(await readFrom(takeExtra));
    const input = options.input === undefined ? null : pipes.openInput(options.input);
    if (input !== null) ends.push(input);
    const environment = options.environment ?? minimalEnvironment;
    child = await start(program, words, {
      // Never the job's own folder: `rm -rf *` is a command too.
      cwd: options.directory ?? '/',
      env: { ...environment },
      detached: true,
      stdio: [input ?? 'ignore', out, err, ...extra],
    });
  } catch (error) {
    for (const reader of readers) reader.destroy();
    throw error;
  } finally {
    for (const end of ends) closeSync(end);
  }

  const killing = new Killing(surroundings, child.pid!, options);
  const exited = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('exit', (code, signal) => resolve([code, signal]));
  });
  const [exitStatus, signal] = await exited;
  killing.stop();
  await drain(readers, surroundings);
  output?.end();
  return {
    exitStatus,
    signal,
    timedOut: killing.timedOut,
    out: captured.out.text(),
    err: captured.err.text(),
    truncated: captured.out.isTruncated || captured.err.isTruncated,
  };
}

async function start(
  program: string,
  words: string[],
  options: SpawnOptions & { cwd: string; env: Record<string, string> },
): Promise<ChildProcess> {
  const translate = (error: unknown) =>
    commandStartError(
      error as NodeJS.ErrnoException,
      program,
      options.env['PATH'] ?? '',
      options.cwd,
    );
  let child: ChildProcess;
  try {
    child = spawn(program, words, options);
  } catch (error) {
    throw translate(error);
  }
  if (child.pid !== undefined) {
    child.on('error', () => undefined);
    return child;
  }
  const error = await new Promise<unknown>((resolve) => child.once('error', resolve));
  throw translate(error);
}

/** Reads one pipe and holds back while what it feeds has no room. */
class Reader {
  private readonly room: () => Promise<void> | null;
  private readonly end = Promise.withResolvers<void>();
  private socket: Socket | null = null;
  private waiting: Promise<void> | null = null;

  constructor(room: () => Promise<void> | null) {
    this.room = room;
  }

  /** Returns the end for the program. */
  async open(pipes: Pipes, take: (bytes: Buffer) => boolean): Promise<number> {
    const { socket, end } = await pipes.openForReading((bytes) => {
      const isDone = take(bytes);
      this.holdBack();
      return isDone;
    });
    socket.once('close', () => this.end.resolve());
    socket.on('error', () => undefined);
    this.socket = socket;
    return end;
  }

  get ended(): Promise<void> {
    return this.end.promise;
  }

  get isEnded(): boolean {
    return this.socket?.closed ?? true;
  }

  /** Takes what lies in the pipe now, then lets go of it. */
  async cutOff(): Promise<void> {
    while (this.waiting !== null) await this.waiting;
    await sleep(LAST_LOOK_MS);
    this.destroy();
  }

  destroy(): void {
    this.socket?.destroy();
  }

  private holdBack(): void {
    if (this.waiting !== null) return;
    const wait = this.room();
    if (wait === null) return;
    this.socket?.pause();
    this.waiting = wait.finally(() => {
      this.waiting = null;
      this.socket?.resume();
    });
  }
}

/** Waits for the output to end, but not for ever: a process in the background can hold the pipe open. */
async function drain(readers: Reader[], surroundings: CommandSurroundings): Promise<void> {
  const timer = new AbortController();
  const all = Promise.all(readers.map((reader) => reader.ended));
  const tooLong = sleep(surroundings.drainMs, true, { signal: timer.signal }).catch(() => false);
  const isTooLong = await Promise.race([all.then(() => false), tooLong]);
  timer.abort();
  const open = readers.filter((reader) => !reader.isEnded);
  if (!isTooLong || open.length === 0) return;
  await Promise.all(open.map((reader) => reader.cutOff()));
  surroundings.note('A process in the background kept the output open; it is not waited for.');
}

/** Ends the command when its time is over or its signal says so: politely, then for certain. */
class Killing {
  timedOut = false;
  private readonly surroundings: CommandSurroundings;
  private readonly pid: number;
  private readonly signal: AbortSignal | undefined;
  private readonly timers: NodeJS.Timeout[] = [];
  private readonly onAbort = () => this.begin();

  constructor(surroundings: CommandSurroundings, pid: number, options: CommandOptions) {
    this.surroundings = surroundings;
    this.pid = pid;
    this.signal = options.signal;
    if (options.timeoutMs !== undefined) {
      const onTimeout = () => {
        this.timedOut = true;
        this.begin();
      };
      this.timers.push(setTimeout(onTimeout, options.timeoutMs));
    }
    if (this.signal?.aborted) this.begin();
    else this.signal?.addEventListener('abort', this.onAbort);
  }

  stop(): void {
    for (const timer of this.timers) clearTimeout(timer);
    this.signal?.removeEventListener('abort', this.onAbort);
  }

  private begin(): void {
    this.surroundings.kill(this.pid, 'SIGTERM');
    const kill = () => this.surroundings.kill(this.pid, 'SIGKILL');
    this.timers.push(setTimeout(kill, this.surroundings.termGraceMs));
  }
}
