import { closeSync, constants, fstatSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { decodeFrames, decodeJournal, JournalDamagedError } from './journal-frames.ts';
import { journalRecordSchema, type EndedRecord, type JournalRecord } from './journal-record.ts';
import { JOURNAL_FILE, JOURNAL_MAX_BYTES } from './journal-writer.ts';
import { ForeignFileError, openOwnFile } from './own-file.ts';

/** Reads a journal while it grows. */
export class JournalReader {
  readonly records: JournalRecord[] = [];
  private readonly path: string;
  private end = 0;

  constructor(directory: string) {
    this.path = join(directory, JOURNAL_FILE);
  }

  get ended(): EndedRecord | null {
    const last = this.records.at(-1);
    return last?.type === 'ended' ? last : null;
  }

  /**
   * Takes in what was written since the last call; a missing file is an empty journal. Throws
   * JournalDamagedError, after the records before the damage were taken in.
   */
  refresh(): void {
    const bytes = readFrom(this.path, this.end);
    try {
      const { payloads, end } =
        this.end === 0 ? decodeJournal(bytes) : decodeFrames(bytes, this.end);
      this.take(payloads);
      this.end = end;
    } catch (error) {
      if (error instanceof JournalDamagedError) this.take(error.payloads);
      throw error;
    }
  }

  private take(payloads: readonly unknown[]): void {
    for (const payload of payloads) {
      const record = journalRecordSchema.safeParse(payload);
      if (!record.success) {
        throw new JournalDamagedError('a record of no known kind', this.end, []);
      }
      this.records.push(record.data);
    }
  }
}

function readFrom(path: string, offset: number): Buffer {
  let fd: number;
  try {
    fd = openOwnFile(path, constants.O_RDONLY, JOURNAL_MAX_BYTES);
  } catch (error) {
    if (error instanceof ForeignFileError) {
      throw new JournalDamagedError(error.message, offset, []);
    }
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    const bytes = Buffer.alloc(Math.max(0, fstatSync(fd).size - offset));
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
  } finally {
    closeSync(fd);
  }
}
