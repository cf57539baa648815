import fs from 'node:fs';
import { promisify } from 'node:util';
import { openOwnFile } from './own-file.ts';

const writev = promisify(fs.writev);
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

  /** Throws ForeignFileError when something else is there. */
  static open(path: string, flags: number): SpoolFile {
    return new SpoolFile(openOwnFile(path, flags));
  }

  get size(): number {
    return fs.fstatSync(this.fd).size;
  }

  /** Whether `writeNow` is the right way for this much. */
  isQuick(bytes: number): boolean {
    return !this.isSlow && bytes <= DIRECT_MAX_BYTES;
  }

  /** Writes the parts at `position` and returns how many bytes went in: fewer when the disk fails. */
  writeNow(position: number, parts: readonly Buffer[]): number {
    const start = performance.now();
    let done = 0;
    try {
      for (let left = parts; left.length > 0; left = without(parts, done)) {
        done += fs.writevSync(this.fd, left, position + done);
      }
    } catch {
      // The caller sees that bytes are missing, and what that means is the same whatever the reason.
    }
    this.isSlow = performance.now() - start > SLOW_MS;
    return done;
  }

  /** Like `writeNow`, through a thread. */
  async writeSoon(position: number, parts: readonly Buffer[]): Promise<number> {
    const start = performance.now();
    let done = 0;
    try {
      for (let left = parts; left.length > 0; left = without(parts, done)) {
        done += (await writev(this.fd, left, position + done)).bytesWritten;
      }
    } catch {
      // As above.
    }
    this.isSlow = performance.now() - start > SLOW_MS;
    return done;
  }

  /** Cuts back to `length` what a failed write left behind it. */
  cutBack(length: number): void {
    try {
      this.truncate(length);
    } catch {
      // Readers skip a torn record; the next write goes over it.
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
}

/** The parts without their first `bytes` bytes. */
function without(parts: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes;
  let index = 0;
  while (index < parts.length && skip >= parts[index]!.length) skip -= parts[index++]!.length;
  if (index === parts.length) return [];
  return [parts[index]!.subarray(skip), ...parts.slice(index + 1)];
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
