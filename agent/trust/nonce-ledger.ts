import { open, readFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { nonce, timestamp, uuidV7 } from '../../proto/documents/fields.ts';
import { writeDurably } from '../connection/durable-file.ts';

const entrySchema = z.strictObject({ nonce, job: uuidV7, until: timestamp });

/** A burnt nonce: the order that carried it can never start again. `until` in seconds. */
export type LedgerEntry = z.output<typeof entrySchema>;

/** How long a nonce is remembered after its order could last have started. */
export const LEDGER_KEEP_SECONDS = 24 * 3600;

const COMPACT_FROM = 1024;

/** Thrown when the ledger on disk is damaged, or could not be written: then nothing may start any more. */
export class LedgerError extends Error {
  override name = 'LedgerError';
}

/**
 * Which orders were used up, in a file of JSON lines. An entry is on disk before `burn` returns. A write or
 * fsync that fails breaks the ledger for good: what the kernel dropped is not there to be written again.
 */
export class NonceLedger {
  private readonly file: string;
  private readonly nonces = new Set<string>();
  /** By job. */
  private readonly entries = new Map<string, LedgerEntry>();
  private handle: FileHandle;
  private queue: Promise<void> = Promise.resolve();
  private broken: LedgerError | undefined;

  private constructor(file: string, handle: FileHandle, entries: readonly LedgerEntry[]) {
    this.file = file;
    this.handle = handle;
    for (const entry of entries) this.remember(entry);
  }

  /**
   * Reads the ledger and drops what is past its time. A last line that was not written whole is dropped:
   * its order never started. Throws LedgerError for any other damage.
   *
   * @param now trusted time in seconds
   */
  static async open(file: string, now: number): Promise<NonceLedger> {
    const entries = (await readEntries(file)).filter((entry) => entry.until > now);
    return new NonceLedger(file, await rewrite(file, entries), entries);
  }

  /** Whether an order of this job was used up before; the order need not have started. */
  hasJob(job: string): boolean {
    return this.entries.has(job);
  }

  /** Whether this very order was used up before. */
  hasOrder({ job, nonce }: Pick<LedgerEntry, 'job' | 'nonce'>): boolean {
    return this.entries.get(job)?.nonce === nonce;
  }

  /**
   * Uses an order up. False when its nonce or its job was used before. Throws LedgerError when the entry
   * is not surely on disk, then and ever after.
   */
  async burn(entry: LedgerEntry): Promise<boolean> {
    if (this.broken !== undefined) throw this.broken;
    if (this.nonces.has(entry.nonce) || this.entries.has(entry.job)) return false;
    const line = encodeLine(entrySchema.parse(entry));
    this.remember(entry);
    await this.inTurn(async () => {
      await this.handle.appendFile(line);
      await this.handle.datasync();
    });
    return true;
  }

  /**
   * Forgets what is past its time, once that is most of the ledger, so that an agent that runs for years
   * does not grow. Throws LedgerError like `burn`.
   *
   * @param now trusted time in seconds
   */
  async compact(now: number): Promise<void> {
    const past = [...this.entries.values()].filter((entry) => entry.until <= now);
    if (past.length < COMPACT_FROM || past.length * 2 < this.entries.size) return;
    await this.inTurn(async () => {
      for (const entry of past) {
        this.nonces.delete(entry.nonce);
        this.entries.delete(entry.job);
      }
      const former = this.handle;
      this.handle = await rewrite(this.file, [...this.entries.values()]);
      await former.close();
    });
  }

  async close(): Promise<void> {
    await this.queue;
    await this.handle.close();
  }

  /** One write at a time; after one that failed there is no other. */
  private async inTurn(write: () => Promise<void>): Promise<void> {
    const written = this.queue.then(async () => {
      if (this.broken !== undefined) throw this.broken;
      try {
        await write();
      } catch (error) {
        this.broken = new LedgerError('the nonce ledger could not be written', { cause: error });
        throw this.broken;
      }
    });
    this.queue = written.catch(() => undefined);
    await written;
  }

  private remember(entry: LedgerEntry): void {
    this.nonces.add(entry.nonce);
    this.entries.set(entry.job, entry);
  }
}

/** Replaces the file durably and opens it for appending. */
async function rewrite(file: string, entries: readonly LedgerEntry[]): Promise<FileHandle> {
  await writeDurably(file, entries.map(encodeLine).join(''));
  return open(file, 'a', 0o600);
}

function encodeLine(entry: LedgerEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

async function readEntries(file: string): Promise<LedgerEntry[]> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new LedgerError(`${file} cannot be read`, { cause: error });
  }
  const lines = text.split('\n');
  const torn = lines.pop()!;
  const entries = lines.map((line, index) => {
    const entry = parseLine(line);
    if (entry === undefined) throw new LedgerError(`${file} is damaged in line ${index + 1}`);
    return entry;
  });
  // Whole but for its newline: it may have been synced, so it counts.
  const last = parseLine(torn);
  return last === undefined ? entries : [...entries, last];
}

function parseLine(line: string): LedgerEntry | undefined {
  try {
    return entrySchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
