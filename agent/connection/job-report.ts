import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Job, JobProgress } from '../jobs/job.ts';
import type { JournalRecord } from '../jobs/journal-record.ts';
import { backoffMs } from './backoff.ts';
import type { Acknowledged, EndStatement, JobPosition, Outgoing } from './courier.ts';
import { composeEnd, unsaidOf } from './end-message.ts';
import type { EndMessage } from './end-message.ts';
import { LogReader } from './log-reader.ts';
import { LogUpload } from './log-upload.ts';
import type { UploadStream } from './log-upload.ts';

/** Log that may travel with the end of a job, so that a short job needs no upload stream. */
export const INLINE_LOG_BYTES = 64 * 1024;
/**
 * How long a job's acceptance and its first output wait for the job's end. Of a job that is over by then all is
 * said in one message and stored in one commit; of any other the first word is this much later.
 */
const SHORT_JOB_MS = 25;
const PROGRESS_EVERY_MS = 100;
const EVENTS_BYTES = 96 * 1024;
const EVENTS_COUNT = 200;

type Waiting = 'first' | 'upload' | 'progress' | 'end';

/** Where a report goes: the session, while there is one. */
export interface Link {
  readonly isWritable: boolean;
  send(message: Outgoing): void;
  /** Null while as many uploads are open as the connection allows; `pump` is called when one is free. */
  openUpload(): UploadStream | null;
  closedUpload(): void;
}

export interface JobReportOptions {
  id: string;
  /** Null for an order that was refused: then the receipt is all there is. */
  job: Job | null;
  /** The receipt of acceptance or refusal; null when there is nothing to resend. */
  receipt: () => Uint8Array | null;
  /** Called once the job has ended. The same bytes every time. */
  end: () => Promise<EndStatement>;
  /** The end, or the refusal, is committed on the other side. */
  onDone: () => void;
  log: Logger;
}

/**
 * Tells the control plane everything about one job and goes on telling until it is acknowledged: receipt,
 * journal, progress, log, end. Knows what was acknowledged for good and what was only sent in this session.
 */
export class JobReport {
  readonly id: string;
  private readonly options: JobReportOptions;
  private readonly unsubscribe: () => void;
  private link: Link | null = null;
  private isDone = false;
  private begun = false;
  private receiptAcknowledged = false;
  private isShort = true;
  private committed = 0;
  /** Of this session. */
  private receiptSent = false;
  private nextSequence = 0;
  private endSent = false;
  private progressSent: JobProgress | null = null;
  private reader: LogReader | null;
  private upload: LogUpload | null = null;
  private uploadFailures = 0;
  private endFailures = 0;
  private readonly timers = new Map<Waiting, NodeJS.Timeout>();

  constructor(options: JobReportOptions) {
    this.id = options.id;
    this.options = options;
    this.reader = options.job && new LogReader(options.job);
    this.unsubscribe = options.job?.onChange(() => this.pump()) ?? (() => {});
  }

  /** A session began. `position` is null for a job the session has not heard of yet. */
  attach(link: Link, position: JobPosition | null): void {
    this.detach();
    if (position?.ended === true) {
      this.finish();
      return;
    }
    this.link = link;
    this.nextSequence = position?.nextSequence ?? 0;
    this.committed = position?.logOffset ?? 0;
    // A job that another session knew has been told of.
    if (position !== null) this.isShort = false;
    this.pump();
  }

  detach(): void {
    this.link = null;
    this.receiptSent = this.endSent = false;
    this.progressSent = null;
    this.uploadFailures = 0;
    this.closeUpload();
    for (const timer of this.timers.values()) clearTimeout(timer);
    this.timers.clear();
  }

  acknowledge(acknowledged: Acknowledged): void {
    if (acknowledged.receipt) this.receiptAcknowledged = true;
    if (acknowledged.ended || (acknowledged.receipt && this.options.job === null)) this.finish();
    else this.pump();
  }

  /** The control plane asks again: what was stated is stated once more. */
  repeat(): void {
    this.receiptAcknowledged = this.receiptSent = this.endSent = false;
    this.pump();
  }

  /** Sends what is new, as far as the link takes it. */
  pump(): void {
    const { job } = this.options;
    if (this.link === null || this.isDone || !this.hasBegun(job)) return;
    if (job === null) return void this.sendReceipt();
    if (job.ended !== null && this.sendEnd(job)) return;
    if (job.ended !== null || !this.waitsForEnd()) {
      if (!this.sendUnsaid(job)) return;
      this.sendProgress(job);
    }
    this.sendLog(job);
  }

  close(): void {
    this.detach();
    this.unsubscribe();
  }

  /**
   * Nothing is said of a job before it has started or ended: its acceptance means on the other side that it
   * runs, and until then the death of this agent can still keep it from starting.
   */
  private hasBegun(job: Job | null): boolean {
    this.begun ||=
      job === null || job.ended !== null || job.records(0).some(({ type }) => type === 'started');
    return this.begun;
  }

  /** Whether the job may be a short one, of which nothing is said before its end. */
  private waitsForEnd(): boolean {
    if (this.isShort && !this.timers.has('first')) this.later('first', SHORT_JOB_MS);
    return this.isShort;
  }

  /** False when it must wait for the link; likewise below. */
  private sendUnsaid(job: Job): boolean {
    return this.sendReceipt() && this.sendEvents(job);
  }

  private sendReceipt(): boolean {
    if (this.receiptAcknowledged || this.receiptSent) return true;
    const receipt = this.options.receipt();
    if (receipt === null) return true;
    if (!this.link!.isWritable) return false;
    this.link!.send({ type: 'receipt', job: this.id, receipt });
    this.receiptSent = true;
    return true;
  }

  private sendEvents(job: Job): boolean {
    for (;;) {
      const records = firstBatch(job.records(this.nextSequence));
      if (records.length === 0) return true;
      if (!this.link!.isWritable) return false;
      const firstSequence = this.nextSequence;
      this.link!.send({ type: 'events', job: this.id, firstSequence, records });
      this.nextSequence += records.length;
    }
  }

  private sendProgress(job: Job): void {
    const { progress } = job;
    if (progress === null || job.ended !== null) return;
    if (isDeepStrictEqual(progress, this.progressSent)) return;
    if (this.timers.has('progress') || !this.link!.isWritable) return;
    this.progressSent = progress;
    this.link!.send({ type: 'progress', job: this.id, progress });
    this.later('progress', PROGRESS_EVERY_MS);
  }

  /** True when the end is under way and nothing else needs to be sent. */
  private sendEnd(job: Job): boolean {
    if (this.endSent || this.timers.has('end')) return true;
    if (!this.fitsInline(job)) return false;
    this.endSent = true;
    const { link } = this;
    this.composeEnd(job)
      .then((message) => {
        if (this.link !== link || this.isDone) return;
        if (message === null) {
          this.endSent = false;
          if (this.sendUnsaid(job)) this.openUpload(job);
        } else if (link!.isWritable) {
          link!.send(message);
          this.receiptSent = true;
          this.nextSequence += message.unsaid.records.length;
          this.endFailures = 0;
        } else {
          this.endSent = false;
        }
      })
      .catch((error: unknown) => {
        this.options.log.error({ err: error }, 'the end of a job cannot be stated yet');
        if (this.link !== link || this.isDone) return;
        // As when the disk is full: what is stated is kept first. `later` pumps.
        this.endSent = false;
        this.sendUnsaid(job);
        this.endFailures++;
        this.later('end', 100 + backoffMs(this.endFailures, Math.random()));
      });
    return true;
  }

  /** Null when something has to be sent before the end. */
  private async composeEnd(job: Job): Promise<EndMessage | null> {
    const end = await this.options.end();
    const isSaid = this.receiptAcknowledged || this.receiptSent;
    const unsaid = unsaidOf(job, isSaid ? null : this.options.receipt(), this.nextSequence);
    if (unsaid === null) return null;
    return composeEnd(job, end, unsaid, this.reader!.fork(), this.committed);
  }

  private fitsInline(job: Job): boolean {
    return job.isReleased === true || job.logLength - this.committed <= INLINE_LOG_BYTES;
  }

  private sendLog(job: Job): void {
    if (this.upload !== null) {
      this.upload.pump();
      return;
    }
    if (job.logLength <= this.committed || this.timers.has('upload')) return;
    if (job.ended === null) this.later('upload', SHORT_JOB_MS);
    else this.openUpload(job);
  }

  private openUpload(job: Job): void {
    const { link } = this;
    const stream = this.upload === null ? link?.openUpload() : null;
    if (!link || !stream) return;
    this.reader = this.reader!.fork();
    this.upload = new LogUpload({
      job,
      stream,
      reader: this.reader,
      log: this.options.log,
      onCommitted: (offset) => {
        this.committed = Math.max(this.committed, offset);
        this.uploadFailures = 0;
        if (job.ended !== null) this.pump();
      },
      onClosed: (error) => {
        this.upload = null;
        link.closedUpload();
        if (this.link !== link || error === null || this.isDone) return;
        this.uploadFailures++;
        this.options.log.warn({ err: error }, 'the upload of a log broke off');
        this.later('upload', 100 + backoffMs(this.uploadFailures, Math.random()));
      },
    });
  }

  private later(what: Waiting, afterMs: number): void {
    const timer = setTimeout(() => {
      this.timers.delete(what);
      if (what === 'first') this.isShort = false;
      const { job } = this.options;
      const goesWithEnd = this.endSent || (job?.ended != null && this.fitsInline(job));
      if (what === 'upload' && job !== null && !goesWithEnd) this.openUpload(job);
      this.pump();
    }, afterMs);
    this.timers.set(what, timer);
  }

  private closeUpload(): void {
    this.upload?.close();
  }

  private finish(): void {
    if (this.isDone) return;
    this.isDone = true;
    this.close();
    this.options.onDone();
  }
}

function firstBatch(records: readonly JournalRecord[]): readonly JournalRecord[] {
  let bytes = 0;
  let count = 0;
  while (count < records.length && count < EVENTS_COUNT) {
    bytes += JSON.stringify(records[count]).length;
    if (count > 0 && bytes > EVENTS_BYTES) break;
    count++;
  }
  return records.slice(0, count);
}
