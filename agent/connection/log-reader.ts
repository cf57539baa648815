import { channels, RECORD_HEADER_BYTES } from '../../proto/spool/record.ts';
import { wireLimits } from '../../proto/wire.ts';
import type { Job } from '../jobs/job.ts';
import type { LogPiece } from './courier.ts';

const READ_BYTES = 256 * 1024;
const NEWLINE = 10;

/** A place where a record begins, and the lines that ended before it. */
interface Mark {
  offset: number;
  lines: number;
}

/**
 * Cuts the encoded log of a job into pieces of at most 64 KiB, from any offset on, and counts the lines
 * that end in each. Pieces are cut anywhere, but the log can only be read from where a record begins; the
 * reader remembers such places, so that going back after a lost connection does not begin at the start.
 */
export class LogReader {
  private readonly job: Pick<Job, 'readLog'>;
  private readonly marks: Mark[];
  /** Whole records; `start` is the offset of the first, `cut` how many bytes of them were handed out. */
  private buffer: Buffer = Buffer.alloc(0);
  private start = 0;
  private cut = 0;
  /** The record in which `cut` lies or which ended there, within `buffer`. */
  private recordStart = 0;
  private recordEnd = 0;
  private lines = 0;

  constructor(job: Pick<Job, 'readLog'>, marks: readonly Mark[] = [{ offset: 0, lines: 0 }]) {
    this.job = job;
    this.marks = [...marks];
  }

  /** Another reader of the same log, at its beginning, that knows the same places. */
  fork(): LogReader {
    return new LogReader(this.job, this.marks);
  }

  /** Where the next piece begins. */
  get offset(): number {
    return this.start + this.cut;
  }

  /** Goes to an offset. False when the log does not reach that far. */
  async seek(offset: number): Promise<boolean> {
    const isBehind = offset < this.offset;
    const mark = this.marks.findLast((candidate) => candidate.offset <= offset)!;
    if (isBehind || mark.offset > this.offset) this.jumpTo(mark);
    while (this.offset < offset) {
      if ((await this.next(offset - this.offset)) === null) return false;
    }
    return true;
  }

  /** The next piece, or null when there is nothing more to read now. */
  async next(maxBytes: number = wireLimits.chunkBytes): Promise<LogPiece | null> {
    if (this.cut === this.buffer.length && !(await this.fill())) return null;
    const end = Math.min(this.cut + maxBytes, this.buffer.length);
    const piece = {
      offset: this.offset,
      bytes: this.buffer.subarray(this.cut, end),
      firstLine: this.lines,
      lines: this.countLines(this.cut, end),
    };
    this.cut = end;
    this.lines += piece.lines;
    return piece;
  }

  private async fill(): Promise<boolean> {
    const offset = this.start + this.buffer.length;
    if (offset - this.marks.at(-1)!.offset >= READ_BYTES) {
      this.marks.push({ offset, lines: this.lines });
    }
    this.jumpTo({ offset, lines: this.lines });
    this.buffer = await this.job.readLog(offset, READ_BYTES);
    return this.buffer.length > 0;
  }

  private jumpTo(mark: Mark): void {
    this.start = mark.offset;
    this.lines = mark.lines;
    this.buffer = Buffer.alloc(0);
    this.cut = this.recordStart = this.recordEnd = 0;
  }

  private countLines(from: number, end: number): number {
    const { buffer } = this;
    let lines = 0;
    for (let at = from; at < end;) {
      if (at >= this.recordEnd) {
        this.recordStart = this.recordEnd;
        const length = buffer.readUInt32LE(this.recordStart);
        this.recordEnd = this.recordStart + RECORD_HEADER_BYTES + length;
      }
      const channel = buffer[this.recordStart + 4];
      const stop = Math.min(this.recordEnd, end);
      if (channel === channels.out || channel === channels.err) {
        const payload = Math.max(at, this.recordStart + RECORD_HEADER_BYTES);
        for (let byte = payload; byte < stop; byte++) if (buffer[byte] === NEWLINE) lines++;
      }
      at = stop;
    }
    return lines;
  }
}
