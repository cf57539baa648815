import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeFrames, decodeJournal, JournalDamagedError } from './journal-frames.ts';
import { journalRecordSchema, type EndedRecord, type JournalRecord } from './journal-record.ts';
import { JOURNAL_FILE } from './journal-writer.ts';

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
  async refresh(): Promise<void> {
    const bytes = await readFrom(this.path, this.end);
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

async function readFrom(path: string, offset: number): Promise<Buffer> {
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return Buffer.alloc(0);
  try {
    const { size } = await handle.stat();
    const bytes = Buffer.alloc(Math.max(0, size - offset));
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, offset);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
