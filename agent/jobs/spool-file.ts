import fs from 'node:fs';
import { promisify } from 'node:util';

const write = promisify(fs.write);
const fdatasync = promisify(fs.fdatasync);

/** Larger pieces, and a disk on which the last one took longer than this, go through a thread. */
const DIRECT_MAX_BYTES = 64 * 1024;
const SLOW_MS = 5;

/**
 * A file of the log. Small pieces are written directly, which is three times as fast as through a thread
 * while the disk keeps up; a slow disk does not stop the process.
 */
export class SpoolFile {
  readonly fd: number;
  private isSlow = false;

  private constructor(fd: number) {
    this.fd = fd;
  }

  static open(path: string, flags: number): SpoolFile {
    return new SpoolFile(fs.openSync(path, flags, 0o600));
  }

  get size(): number {
    return fs.fstatSync(this.fd).size;
  }

  /**
   * Writes encoded records at `position` and returns how many are in the file, whole. When the disk fails
   * the file is cut back to those.
   */
  async appendWhole(position: number, encoded: readonly Buffer[]): Promise<number> {
    const bytes = encoded.length === 1 ? encoded[0]! : Buffer.concat(encoded);
    let done = 0;
    try {
      while (done < bytes.length) done += await this.write(bytes.subarray(done), position + done);
      return encoded.length;
    } catch {
      let whole = 0;
      let end = 0;
      while (whole < encoded.length && end + encoded[whole]!.length <= done) {
        end += encoded[whole++]!.length;
      }
      this.cutBack(position + end);
      return whole;
    }
  }

  truncate(length: number): void {
    fs.ftruncateSync(this.fd, length);
  }

  async datasync(): Promise<void> {
    await fdatasync(this.fd);
  }

  datasyncNow(): void {
    fs.fdatasyncSync(this.fd);
  }

  close(): void {
    fs.closeSync(this.fd);
  }

  private async write(bytes: Buffer, position: number): Promise<number> {
    const start = performance.now();
    const isDirect = !this.isSlow && bytes.length <= DIRECT_MAX_BYTES;
    const written = isDirect
      ? fs.writeSync(this.fd, bytes, 0, bytes.length, position)
      : (await write(this.fd, bytes, 0, bytes.length, position)).bytesWritten;
    this.isSlow = performance.now() - start > SLOW_MS;
    return written;
  }

  private cutBack(length: number): void {
    try {
      this.truncate(length);
    } catch {
      // Readers skip a torn record; the next write goes over it.
    }
  }
}

/** The first `length` bytes of a file, in pieces. */
export function* readBytes(fd: number, length: number): Generator<Buffer> {
  for (let at = 0; at < length;) {
    const piece = readPiece(fd, at, length);
    if (piece.length === 0) throw new Error('the log shrank while it was read');
    yield piece;
    at += piece.length;
  }
}

const READ_BYTES = 256 * 1024;

/** What stands at `at`, up to 256 KiB and not beyond `end`; empty at the end of the file. */
export function readPiece(fd: number, at: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(READ_BYTES, end - at)));
  return bytes.subarray(0, fs.readSync(fd, bytes, 0, bytes.length, at));
}
