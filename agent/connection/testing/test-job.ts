import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Job, JobProgress } from '../../jobs/job.ts';
import type { EndedRecord, JournalRecord } from '../../jobs/journal-record.ts';
import { readSpool } from '../../jobs/spool-reader.ts';
import { SpoolWriter } from '../../jobs/spool-writer.ts';
import type { Channel } from '../../../proto/spool/record.ts';

/** A job with a real spool, whose runner is the test. */
export class TestJob implements Job {
  readonly id: string;
  readonly directory: string;
  ended: EndedRecord | null = null;
  progress: JobProgress | null = null;
  plan: Buffer | null = null;
  readonly cancelled: string[] = [];
  private readonly journal: JournalRecord[] = [];
  private readonly listeners = new Set<() => void>();
  private readonly spool: SpoolWriter;

  private constructor(id: string, directory: string, spool: SpoolWriter) {
    this.id = id;
    this.directory = directory;
    this.spool = spool;
  }

  static async create(id: string, capBytes = 1024 ** 3): Promise<TestJob> {
    const directory = await mkdtemp(path.join(tmpdir(), 'iv-jb-'));
    const spool = SpoolWriter.open({
      directory,
      capBytes,
      onGrew: () => job.changed(),
      nowUs: () => Date.now() * 1000,
    });
    const job = new TestJob(id, directory, spool);
    return job;
  }

  get logLength(): number {
    return this.spool.length;
  }

  records(from: number): JournalRecord[] {
    return this.journal.slice(from);
  }

  async readLog(offset: number, maxBytes: number): Promise<Buffer> {
    return readSpool(this.directory, offset, this.spool.length, maxBytes);
  }

  readPlan(): Promise<Buffer | null> {
    return Promise.resolve(this.plan);
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  cancel(mode: 'now' | 'after_step', why: string): Promise<void> {
    this.cancelled.push(`${mode}: ${why}`);
    return Promise.resolve();
  }

  /** As the runner does it. */
  print(text: string | Buffer, channel: Channel = 'out'): void {
    this.spool.append(channel, Buffer.from(text));
  }

  async drain(): Promise<void> {
    await this.spool.drain();
  }

  note(record: JournalRecord): void {
    this.journal.push(record);
    this.changed();
  }

  makeProgress(progress: JobProgress): void {
    this.progress = progress;
    this.changed();
  }

  async end(changes: Partial<EndedRecord> = {}): Promise<EndedRecord> {
    const log = await this.spool.finish();
    const record: EndedRecord = {
      type: 'ended',
      at: Date.now(),
      outcome: 'succeeded',
      reason: null,
      exitStatus: 0,
      result: { exitStatus: 0, signal: null },
      log,
      ...changes,
    };
    this.journal.push(record);
    this.ended = record;
    this.changed();
    return record;
  }

  async remove(): Promise<void> {
    if (this.ended === null) await this.spool.finish();
    await rm(this.directory, { recursive: true, force: true });
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}
