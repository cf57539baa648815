import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReadStream } from 'node:tty';
import type { ScreenSize } from '../../proto/terminal/messages.ts';
import { loadPtyBinding } from './pty-binding.ts';
import type { PtyBinding } from './pty-binding.ts';

export interface PtyOptions {
  argv: readonly [string, ...string[]];
  /** Complete; nothing is inherited. */
  environment: Readonly<Record<string, string>>;
  directory: string;
  size: ScreenSize;
  onOutput: (bytes: Buffer) => void;
}

export interface PtyEnd {
  /** Null when a signal ended it. */
  exitStatus: number | null;
  signal: string | null;
}

/** How long output may still be missing after the program has ended, while something else holds the pty. */
const QUIET_MS = 300;
const LOOK_MS = 20;

/** A program on a pseudo-terminal of its own. */
export class Pty {
  readonly pid: number;
  /** The program has ended and its output was read; what it left running may still write to nobody. */
  readonly ended: Promise<PtyEnd>;
  private readonly binding: PtyBinding;
  private readonly fd: number;
  private readonly stream: ReadStream;
  private isClosed = false;
  private heardAt = performance.now();

  private constructor(options: PtyOptions) {
    const { argv, environment, directory, size } = options;
    this.binding = loadPtyBinding();
    const exited = Promise.withResolvers<PtyEnd>();
    const [file, ...words] = argv;
    const { fd, pid } = this.binding.fork(
      file,
      words,
      Object.entries(environment).map(([name, value]) => `${name}=${value}`),
      directory,
      size.columns,
      size.rows,
      -1,
      -1,
      true,
      '',
      (status, signal) => exited.resolve(endOf(status, signal)),
    );
    this.fd = fd;
    this.pid = pid;
    this.stream = new ReadStream(fd);
    this.stream.on('data', (bytes: Buffer) => {
      this.heardAt = performance.now();
      options.onOutput(bytes);
    });
    // EIO: nobody has the other side open any more (pty(7)).
    this.stream.on('error', () => this.stream.destroy());
    this.stream.on('close', () => {
      this.isClosed = true;
    });
    this.ended = exited.promise.then(async (end) => {
      await this.readRest();
      return end;
    });
  }

  /** Throws when there is no such program, or no pty left. */
  static start(options: PtyOptions): Pty {
    return new Pty(options);
  }

  /** False when the program does not keep up with what is typed; `onDrain` says when it does. */
  write(bytes: Uint8Array): boolean {
    return this.isClosed || this.stream.write(bytes);
  }

  onDrain(listener: () => void): void {
    this.stream.once('drain', listener);
  }

  /** The program waits when it has written a few pages more. */
  pause(): void {
    this.stream.pause();
  }

  resume(): void {
    this.heardAt = performance.now();
    this.stream.resume();
  }

  resize({ rows, columns }: ScreenSize): void {
    if (!this.isClosed) this.binding.resize(this.fd, columns, rows);
  }

  /** As if the line had been cut: shells end, and tell what they started. */
  hangUp(): void {
    this.signal('SIGHUP');
  }

  kill(): void {
    this.signal('SIGKILL');
  }

  private signal(signal: NodeJS.Signals): void {
    for (const target of [-this.pid, this.pid]) {
      try {
        process.kill(target, signal);
      } catch {
        // ESRCH: it has ended.
      }
    }
  }

  private async readRest(): Promise<void> {
    this.heardAt = performance.now();
    const isQuiet = () => !this.stream.isPaused() && performance.now() - this.heardAt > QUIET_MS;
    while (!this.isClosed && !isQuiet()) await sleep(LOOK_MS);
    this.stream.destroy();
  }
}

function endOf(status: number, signal: number): PtyEnd {
  if (signal === 0) return { exitStatus: status, signal: null };
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  return { exitStatus: null, signal: name ?? String(signal) };
}
