import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { trimChunk } from './chunk.ts';
import type { Chunk } from './chunk.ts';
import { LiveTail } from './live-tail.ts';
import { appendChunks, findLogPosition } from './log-store.ts';
import type { LogPosition } from './log-store.ts';

/** Chunks per statement: more are slower, fewer too. */
const BATCH_CHUNKS = 16;
const BATCH_BYTES = 512 * 1024;
/** Opened bytes that may wait for their commit; beyond, the sender waits. */
export const QUEUE_BYTES = 1024 * 1024;

/** What is stored of one job's log at most; agents cap theirs far below. */
export const LOG_MAX_BYTES = 4 * 1024 ** 3;

export interface LogWriterOptions {
  database: Database;
  bus: Bus;
  position: LogPosition;
  maxBytes: number;
  onCommitted: (offset: number) => void;
  onFailed: (error: unknown) => void;
  /** The log goes beyond `maxBytes`. */
  onTooLong: () => void;
}

/**
 * Appends one job's log where it ends, in batches, one commit at a time. The database decides: should
 * somebody else have appended meanwhile, what overlaps is cut off.
 */
export class LogWriter {
  readonly tail: LiveTail;
  private readonly options: LogWriterOptions;
  private committed: { offset: number; lines: number };
  private queue: Chunk[] = [];
  private queuedBytes = 0;
  private writing: Promise<void> | undefined;
  private failure: unknown;
  private roomWanted: (() => void)[] = [];

  constructor(options: LogWriterOptions) {
    this.options = options;
    this.committed = { offset: options.position.offset, lines: options.position.lines };
    this.tail = new LiveTail(options.position.offset);
  }

  get jobId(): string {
    return this.options.position.jobId;
  }

  get committedOffset(): number {
    return this.committed.offset;
  }

  get isFull(): boolean {
    return this.queuedBytes >= QUEUE_BYTES;
  }

  /**
   * Takes a chunk; followers see it at once. What was received before is skipped; a chunk that lies further on
   * throws DomainError `log_gap`, one that lies beyond what is stored at most `log_too_long`.
   */
  accept(chunk: Chunk): void {
    if (this.failure !== undefined) return;
    const received = this.tail.end;
    if (chunk.offset > received) throw gap(received, chunk.offset);
    if (chunk.offset + chunk.length > this.options.maxBytes) {
      this.options.onTooLong();
      throw new DomainError('too_many', 'log_too_long', 'The log of this job is too long.');
    }
    const last = this.queue.at(-1);
    const lines = last === undefined ? this.committed.lines : last.firstLine + last.lines;
    const fresh = trimChunk(chunk, received, lines);
    if (fresh === null) {
      // Nothing new: the sender only has to hear again how far everything is.
      if (this.queue.length === 0) this.options.onCommitted(this.committed.offset);
      return;
    }
    this.queue.push(fresh);
    this.queuedBytes += fresh.length;
    this.tail.append(fresh.bytes);
    this.options.bus.publish('log', this.jobId);
    this.writing ??= this.write();
  }

  /** Resolves when the queue has room, or the writer has failed. */
  async whenRoom(): Promise<void> {
    while (this.isFull && this.failure === undefined) {
      await new Promise<void>((resolve) => this.roomWanted.push(resolve));
    }
  }

  /** Resolves when everything accepted is committed, or the writer has failed. */
  async settled(): Promise<void> {
    while (this.writing !== undefined) await this.writing;
  }

  /** Accepts nothing more; what is being committed still is. */
  fail(error: unknown): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.queue = [];
    this.queuedBytes = 0;
    this.tail.forgetUncommitted();
    this.wakeSenders();
    this.options.onFailed(error);
  }

  private async write(): Promise<void> {
    try {
      // A moment, so that what came in one read is written in one statement.
      await Promise.resolve();
      while (this.queue.length > 0) await this.writeBatch(this.nextBatch());
    } catch (error) {
      this.fail(error);
    } finally {
      this.writing = undefined;
    }
  }

  private nextBatch(): Chunk[] {
    let bytes = 0;
    let count = 0;
    while (count < this.queue.length && count < BATCH_CHUNKS && bytes < BATCH_BYTES) {
      bytes += this.queue[count++]!.length;
    }
    return this.queue.slice(0, count);
  }

  private async writeBatch(batch: readonly Chunk[]): Promise<void> {
    const { database, position } = this.options;
    const isStored = await appendChunks(database, position, this.committed.offset, batch);
    if (this.failure !== undefined) return;
    if (isStored) {
      const last = batch.at(-1)!;
      this.drop(batch.length);
      this.noteCommitted(last.offset + last.length, last.firstLine + last.lines);
    } else {
      await this.followDatabase();
    }
  }

  /** Somebody else appended, or the log was closed. */
  private async followDatabase(): Promise<void> {
    const position = await findLogPosition(this.options.database, this.jobId);
    if (position === null || position.complete || position.offset <= this.committed.offset) {
      throw new DomainError('conflict', 'log_complete', 'Nothing is added to this log any more.');
    }
    this.queue = this.queue.flatMap(
      (chunk) => trimChunk(chunk, position.offset, position.lines) ?? [],
    );
    this.queuedBytes = this.queue.reduce((sum, chunk) => sum + chunk.length, 0);
    if (this.queue.length > 0 && this.queue[0]!.offset > position.offset) {
      throw gap(position.offset, this.queue[0]!.offset);
    }
    if (this.queue.length === 0 && position.offset !== this.tail.end) {
      throw gap(position.offset, this.tail.end);
    }
    this.noteCommitted(position.offset, position.lines);
  }

  private drop(count: number): void {
    for (const chunk of this.queue.splice(0, count)) this.queuedBytes -= chunk.length;
  }

  private noteCommitted(offset: number, lines: number): void {
    this.committed = { offset, lines };
    this.tail.commit(offset);
    if (!this.isFull) this.wakeSenders();
    this.options.onCommitted(offset);
    this.options.bus.publish('log', this.jobId);
  }

  private wakeSenders(): void {
    for (const resolve of this.roomWanted.splice(0)) resolve();
  }
}

function gap(expected: number, found: number): DomainError {
  return new DomainError(
    'conflict',
    'log_gap',
    `The log ends at byte ${expected}; a chunk from byte ${found} on does not fit.`,
  );
}
