import fs from 'node:fs';
import { open, readFile, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJournal, encodeFrame, JOURNAL_HEADER } from './journal-frames.ts';
import type { JournalRecord } from './journal-record.ts';

export const JOURNAL_FILE = 'journal';
/** Space kept back for the end of a job on a full disk; removed when it is needed. */
export const RESERVE_FILE = 'reserve';
const RESERVE_BYTES = 64 * 1024;

/** Thrown when a record could not be made durable. What it would have said must not be acted on. */
export class JournalUnwritableError extends Error {
  override name = 'JournalUnwritableError';
}

export async function writeReserve(directory: string): Promise<void> {
  await writeFile(join(directory, RESERVE_FILE), Buffer.alloc(RESERVE_BYTES, 0x2e));
}

/** Gives the reserved space back to the file system. */
export async function freeReserve(directory: string): Promise<void> {
  await rm(join(directory, RESERVE_FILE), { force: true });
}

/** Appends to the journal of one job. One writer at a time: the agent before the runner starts and after
 * it died, the runner in between. */
export class JournalWriter {
  private readonly directory: string;
  private readonly handle: FileHandle;
  private length: number;
  private count: number;
  /** A failed fsync is final: the kernel may have dropped the pages, and a second one would not say so. */
  private broken = false;
  private isSealed = false;

  private constructor(directory: string, handle: FileHandle, length: number, count: number) {
    this.directory = directory;
    this.handle = handle;
    this.length = length;
    this.count = count;
  }

  /**
   * Opens or creates the journal in `directory` and cuts off a torn last frame. Throws
   * JournalDamagedError rather than writing behind damage.
   */
  static async open(directory: string, file = JOURNAL_FILE): Promise<JournalWriter> {
    const path = join(directory, file);
    const handle = await open(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    try {
      const bytes = await readFile(handle);
      const { payloads, end } = decodeJournal(bytes);
      if (end !== bytes.length) await handle.truncate(end);
      const writer = new JournalWriter(directory, handle, end, payloads.length);
      if (end === 0) writer.writeAtEnd(JOURNAL_HEADER);
      return writer;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Records in the journal. */
  get records(): number {
    return this.count;
  }

  /** Resolves when the record is on disk. Records keep the order of the calls. */
  async append(record: JournalRecord): Promise<void> {
    if (this.broken) throw new JournalUnwritableError('the journal failed before');
    if (this.isSealed) throw new JournalUnwritableError('the job has ended');
    const frame = encodeFrame(record);
    try {
      this.writeAtEnd(frame);
    } catch {
      await freeReserve(this.directory);
      try {
        this.writeAtEnd(frame);
      } catch (error) {
        throw new JournalUnwritableError('the journal cannot be written', { cause: error });
      }
    }
    this.count++;
    this.isSealed = record.type === 'ended';
    await this.sync();
  }

  async sync(): Promise<void> {
    try {
      await this.handle.datasync();
    } catch (error) {
      this.broken = true;
      throw new JournalUnwritableError('the journal cannot be synced', { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  /** At its own position, so that what a failed attempt left behind is written over. */
  private writeAtEnd(bytes: Buffer): void {
    let written = 0;
    try {
      while (written < bytes.length) {
        written += fs.writeSync(
          this.handle.fd,
          bytes,
          written,
          bytes.length - written,
          this.length + written,
        );
      }
    } catch (error) {
      fs.ftruncateSync(this.handle.fd, this.length);
      throw error;
    }
    this.length += bytes.length;
  }
}
