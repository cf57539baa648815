import { execFile } from 'node:child_process';
import { closeSync, constants, openSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Socket } from 'node:net';
import { promisify } from 'node:util';

const run = promisify(execFile);
const { O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;
const KEPT = 6;
/** As much as a pipe holds (pipe(7)). */
const READ_BYTES = 64 * 1024;

/**
 * What commands read from and write to. Node itself gives a child sockets, on which opening /dev/stdout,
 * /dev/stderr or /dev/stdin fails; so output goes through FIFOs (fifo(7)) whose name is removed as soon
 * as both ends are open, and input comes from a file that has no name either.
 */
export class Pipes {
  private readonly directory: string;
  private readonly ready: string[] = [];
  private made = 0;
  private making: Promise<void> | null = null;

  /** `directory` lies in memory: input is often secret. */
  constructor(directory: string) {
    this.directory = directory;
  }

  /** Makes names ahead of time, because that takes a process. */
  async prepare(count = KEPT): Promise<void> {
    while (this.making !== null) await this.making;
    if (this.ready.length >= count) return;
    const names = Array.from({ length: KEPT }, () => `.pipe-${process.pid}-${this.made++}`);
    const paths = names.map((name) => join(this.directory, name));
    this.making = run('mkfifo', ['-m', '0600', ...paths])
      .then(() => void this.ready.push(...paths))
      .finally(() => {
        this.making = null;
      });
    await this.making;
  }

  /**
   * A pipe this process reads from; the program is given `end` and the caller then closes it. `take` says
   * whether it is done with the bytes; if so, their memory is read into again.
   */
  async openForReading(take: (bytes: Buffer) => boolean): Promise<{ socket: Socket; end: number }> {
    const path = await this.take();
    const own = openSync(path, O_RDONLY | O_NONBLOCK);
    const end = openSync(path, O_WRONLY);
    unlinkSync(path);
    let memory: Buffer | null = null;
    const callback = (bytes: number, buffer: Uint8Array): boolean => {
      const whole = buffer as Buffer;
      memory = take(whole.subarray(0, bytes)) ? whole : null;
      return true;
    };
    const buffer = () => memory ?? Buffer.allocUnsafeSlow(READ_BYTES);
    const options = { fd: own, readable: true, writable: false, onread: { buffer, callback } };
    const socket = new Socket(options);
    return { socket, end };
  }

  /** What a program is to read as its standard input, in memory only; the caller closes it. */
  openInput(bytes: string | Uint8Array): number {
    const path = join(this.directory, `.input-${this.made++}`);
    const own = openSync(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    try {
      const end = openSync(path, O_RDONLY);
      writeFileSync(own, bytes);
      return end;
    } finally {
      unlinkSync(path);
      closeSync(own);
    }
  }

  private async take(): Promise<string> {
    if (this.ready.length === 0) await this.prepare(1);
    const path = this.ready.shift()!;
    if (this.ready.length < 3) void this.prepare().catch(() => undefined);
    return path;
  }
}
