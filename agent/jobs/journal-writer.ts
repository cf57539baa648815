import fs from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  decodeJournal,
  encodeFrame,
  JOURNAL_HEADER,
  JournalDamagedError,
} from './journal-frames.ts';
import type { JournalRecord } from './journal-record.ts';
import { ForeignFileError, openOwnFile } from './own-file.ts';

export const JOURNAL_FILE = 'journal';
/** No job writes as much; what is longer is not believed. */
export const JOURNAL_MAX_BYTES = 64 * 1024 * 1024;
/** Space kept back for the end of a job on a full disk; removed when it is needed. */
export const RESERVE_FILE = 'reserve';
const fdatasync = promisify(fs.fdatasync);
const RESERVE_BYTES = 64 * 1024;
const SLOW_MS = 5;
/** How long the last sync of any journal took. */
let lastSyncMs = 0;

/** Thrown when a record could not be made durable. What it would have said must not be acted on. */
export class JournalUnwritableError extends Error {
  override name = 'JournalUnwritableError';
}

export function writeReserve(directory: string): void {
  fs.writeFileSync(join(directory, RESERVE_FILE), Buffer.alloc(RESERVE_BYTES, 0x2e));
}

/** Gives the reserved space back to the file system. */
export function freeReserve(directory: string): void {
  fs.rmSync(join(directory, RESERVE_FILE), { recursive: true, force: true });
}

/**
 * Appends to the journal of one job. One writer at a time: the agent before the runner starts and after it
 * died, the runner in between. Everything is done before the call returns: nothing may go on meanwhile, and
 * a thread would only make it slower.
 */
export class JournalWriter {
  private readonly directory: string;
  private readonly fd: number;
  private length: number;
  private count: number;
  /** A failed fsync is final: the kernel may have dropped the pages, and a second one would not say so. */
  private isBroken = false;
  private isSealed = false;

  private constructor(directory: string, fd: number, length: number, count: number) {
    this.directory = directory;
    this.fd = fd;
    this.length = length;
    this.count = count;
  }

  /**
   * Opens or creates the journal in `directory` and cuts off a torn last frame. Throws
   * JournalDamagedError rather than writing behind damage.
   */
  static open(directory: string, file = JOURNAL_FILE): JournalWriter {
    const fd = openJournal(join(directory, file));
    try {
      const bytes = fs.readFileSync(fd);
      const { payloads, end } = decodeJournal(bytes);
      if (end !== bytes.length) fs.ftruncateSync(fd, end);
      const writer = new JournalWriter(directory, fd, end, payloads.length);
      writer.isSealed = (payloads.at(-1) as JournalRecord | undefined)?.type === 'ended';
      if (end === 0) writer.writeAtEnd(JOURNAL_HEADER);
      return writer;
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /** Records in the journal. */
  get records(): number {
    return this.count;
  }

  /** The record is on disk afterwards. Throws JournalUnwritableError. */
  append(record: JournalRecord): void {
    this.write(record);
    this.sync();
  }

  /** Adds a record that is on disk only after `sync`. Throws JournalUnwritableError. */
  write(record: JournalRecord): void {
    if (this.isBroken) throw new JournalUnwritableError('the journal failed before');
    if (this.isSealed) throw new JournalUnwritableError('the job has ended');
    const frame = encodeFrame(record);
    try {
      this.writeAtEnd(frame);
    } catch {
      freeReserve(this.directory);
      try {
        this.writeAtEnd(frame);
      } catch (error) {
        throw new JournalUnwritableError('the journal cannot be written', { cause: error });
      }
    }
    this.count++;
    this.isSealed = record.type === 'ended';
  }

  sync(): void {
    const start = performance.now();
    try {
      fs.fdatasyncSync(this.fd);
      lastSyncMs = performance.now() - start;
    } catch (error) {
      throw this.broken(error);
    }
  }

  /** Like `sync`, for a process that has other work: it does not wait for a disk that was slow. */
  async syncSoon(): Promise<void> {
    if (lastSyncMs < SLOW_MS) return this.sync();
    const start = performance.now();
    await fdatasync(this.fd).catch((error: unknown) => {
      throw this.broken(error);
    });
    lastSyncMs = performance.now() - start;
  }

  close(): void {
    fs.closeSync(this.fd);
  }

  private broken(cause: unknown): JournalUnwritableError {
    this.isBroken = true;
    return new JournalUnwritableError('the journal cannot be synced', { cause });
  }

  /** At its own position, so that what a failed attempt left behind is written over. */
  private writeAtEnd(bytes: Buffer): void {
    let done = 0;
    try {
      while (done < bytes.length) {
        done += fs.writeSync(this.fd, bytes, done, bytes.length - done, this.length + done);
      }
    } catch (error) {
      fs.ftruncateSync(this.fd, this.length);
      throw error;
    }
    this.length += bytes.length;
  }
}

function openJournal(path: string): number {
  try {
    return openOwnFile(path, fs.constants.O_RDWR | fs.constants.O_CREAT, JOURNAL_MAX_BYTES);
  } catch (error) {
    if (!(error instanceof ForeignFileError)) throw error;
    throw new JournalDamagedError(error.message, 0, []);
  }
}
