import type { Logger } from 'pino';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { wireLimits } from '../../proto/wire.ts';
import type { UploadLogRequest, UploadLogResponse__Output } from '../../proto/wire.ts';
import type { Job } from '../jobs/job.ts';
import type { LogReader } from './log-reader.ts';
import { encodePiece } from './messages.ts';

/** Encoded bytes under way and not yet committed by the control plane. */
export const WINDOW_BYTES = 8 * 1024 * 1024;
/** So many small pieces may be under way before further ones wait to be joined. */
const SMALL_PIECES = 8;
/** The longest that a line waits to be joined by others. */
const JOIN_MS = 2;
/** How long the other side may take to end a stream that this side has ended. */
const LINGER_MS = 5_000;

export type UploadStream = ClientDuplexStream<UploadLogRequest, UploadLogResponse__Output>;

export interface LogUploadOptions {
  job: Pick<Job, 'id' | 'logLength' | 'readLog'>;
  /** For this upload alone. */
  reader: LogReader;
  stream: UploadStream;
  /** The control plane has committed everything before `offset`. */
  onCommitted: (offset: number) => void;
  /** The stream is over; `error` is null after `close`. Called once. */
  onClosed: (error: Error | null) => void;
  log: Logger;
}

/**
 * Uploads the log of one job over one stream: from the offset that the control plane names, in pieces of
 * at most 64 KiB, at once when something arrives. Under load pieces wait up to 2 ms to be filled. Never
 * more than a window is under way, and never more than the stream takes.
 */
export class LogUpload {
  private readonly options: LogUploadOptions;
  private committed: number | null = null;
  private piecesUnderWay: number[] = [];
  private isWritable = true;
  private isPumping = false;
  private isStale = false;
  private isClosed = false;
  private lastSentAt = 0;
  private joinTimer: NodeJS.Timeout | null = null;

  constructor(options: LogUploadOptions) {
    this.options = options;
    const { stream, job } = options;
    stream.on('data', (response: UploadLogResponse__Output) => {
      this.acknowledge(response.committedOffset!);
    });
    stream.on('drain', () => {
      this.isWritable = true;
      this.pump();
    });
    stream.on('error', (error: Error) => this.end(error));
    stream.on('end', () => this.end(new Error('the control plane ended the upload')));
    stream.write({ jobId: job.id });
  }

  /** Sends what arrived since. */
  pump(): void {
    this.isStale = true;
    if (this.isPumping || this.committed === null) return;
    this.isPumping = true;
    this.send()
      .catch((error: unknown) => this.end(error as Error))
      .finally(() => {
        this.isPumping = false;
        if (this.isStale && !this.isClosed && this.mayContinue) this.pump();
      });
  }

  close(): void {
    this.end(null);
  }

  private get mayContinue(): boolean {
    return this.joinTimer === null && this.isWritable && this.underWay < WINDOW_BYTES;
  }

  private get underWay(): number {
    return this.options.reader.offset - (this.committed ?? 0);
  }

  private acknowledge(offset: number): void {
    if (this.isClosed) return;
    if (this.committed === null) {
      this.begin(offset);
      return;
    }
    this.committed = Math.max(this.committed, offset);
    while (this.piecesUnderWay.length > 0 && this.piecesUnderWay[0]! <= offset) {
      this.piecesUnderWay.shift();
    }
    this.options.onCommitted(offset);
    this.pump();
  }

  private begin(offset: number): void {
    const { reader, onCommitted } = this.options;
    this.isPumping = true;
    reader
      .seek(offset)
      .then((isThere) => {
        if (!isThere) throw new Error(`the log has no byte ${offset}, which was committed`);
        this.committed = offset;
        onCommitted(offset);
      })
      .catch((error: unknown) => this.end(error as Error))
      .finally(() => {
        this.isPumping = false;
        if (!this.isClosed) this.pump();
      });
  }

  private async send(): Promise<void> {
    const { job, reader, stream } = this.options;
    while (!this.isClosed && this.isWritable && this.underWay < WINDOW_BYTES) {
      this.isStale = false;
      const waiting = job.logLength - reader.offset;
      if (waiting <= 0 || this.shouldJoin(waiting)) return;
      const piece = await reader.next();
      if (piece === null || this.isClosed) return;
      this.isWritable = stream.write({ chunk: encodePiece(piece) });
      this.piecesUnderWay.push(piece.offset + piece.bytes.length);
      this.lastSentAt = performance.now();
    }
  }

  /** Whether a small piece waits for more: only while many are under way, and never for long. */
  private shouldJoin(waiting: number): boolean {
    if (waiting >= wireLimits.chunkBytes || this.piecesUnderWay.length < SMALL_PIECES) return false;
    const leftMs = this.lastSentAt + JOIN_MS - performance.now();
    if (leftMs <= 0) return false;
    this.joinTimer ??= setTimeout(() => {
      this.joinTimer = null;
      this.pump();
    }, Math.ceil(leftMs));
    return true;
  }

  private end(error: Error | null): void {
    if (this.isClosed) return;
    this.isClosed = true;
    if (this.joinTimer !== null) clearTimeout(this.joinTimer);
    const { stream } = this.options;
    // A reset is the exception: servers count them against a peer.
    if (error === null) {
      stream.end();
      const timer = setTimeout(() => stream.cancel(), LINGER_MS).unref();
      stream.once('end', () => clearTimeout(timer));
      stream.once('error', () => clearTimeout(timer));
    } else {
      stream.cancel();
    }
    this.options.onClosed(error);
  }
}
