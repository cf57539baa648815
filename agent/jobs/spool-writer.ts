import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { join } from 'node:path';
import {
  countLines,
  RECORD_HEADER_BYTES,
  RECORD_PAYLOAD_MAX_BYTES,
  type Channel,
  type Gap,
} from '../../proto/spool/record.ts';
import type { EndedRecord } from './journal-record.ts';
import { freeReserve } from './journal-writer.ts';
import { DurableTail } from './spool-sync.ts';
import { readBytes, SpoolFile } from './spool-file.ts';
import { scanSpool } from './spool-scan.ts';
import {
  addGaps,
  countWhole,
  encodedLength,
  encodeParts,
  gapRecord,
  noGap,
  sizeOf,
  type SpoolRecord,
} from './spool-record.ts';
import { SpoolRing } from './spool-ring.ts';

export const SPOOL_FILE = 'spool';
/** More queued bytes than this and producers are asked to wait. */
const QUEUE_HIGH_BYTES = 256 * 1024;
/** Beyond these the last gap takes in everything up to the end; a receipt has room for 64. */
const GAPS_MAX = 32;
const NOTE_ROOM_BYTES = 128;
/** Two parts each, and one call takes 1024 (writev(2)). */
const BATCH_RECORDS_MAX = 500;

export type LogSummary = EndedRecord['log'];

export interface SpoolOptions {
  directory: string;
  /** Encoded bytes that the head and the tail may take together. */
  capBytes: number;
  /** Called after records reached the file. */
  onGrew: () => void;
  /** Microseconds since 1970. */
  nowUs: () => number;
}

/**
 * The encoded log of one job on disk. Up to half the cap it is written straight to `spool`; from there on
 * to a ring of two files, so that the end of the log is kept too; `finish` joins them with one gap record
 * that says exactly what is missing. A full disk never blocks the job: what could not be written becomes
 * a gap as well.
 */
export class SpoolWriter {
  private readonly options: SpoolOptions;
  private readonly file: SpoolFile;
  private readonly ring: SpoolRing;
  private readonly tail: DurableTail;
  private readonly hash: Hash = createHash('sha256');
  private readonly headLimit: number;
  private readonly payloadLimit: number;
  private readonly queue: SpoolRecord[] = [];
  private readonly gaps: LogSummary['gaps'] = [];
  private queuedBytes = 0;
  private fileLength = 0;
  private lines = 0;
  private lost: Gap = noGap;
  private pumping: Promise<void> | null = null;
  private isFinished = false;

  private constructor(options: SpoolOptions, file: SpoolFile, ring: SpoolRing) {
    this.options = options;
    this.file = file;
    this.ring = ring;
    this.tail = new DurableTail(file);
    this.headLimit = Math.max(0, Math.floor(options.capBytes / 2) - NOTE_ROOM_BYTES);
    const eighth = Math.floor(options.capBytes / 8) - RECORD_HEADER_BYTES;
    this.payloadLimit = Math.max(1, Math.min(RECORD_PAYLOAD_MAX_BYTES, eighth));
  }

  /**
   * Opens or creates the spool. Of one that a dead runner left behind, everything whole is kept: a torn
   * last record is cut off, and so is what an unfinished `finish` had joined.
   */
  static open(options: SpoolOptions): SpoolWriter {
    const path = join(options.directory, SPOOL_FILE);
    const file = SpoolFile.open(path, constants.O_RDWR | constants.O_CREAT);
    const ring = SpoolRing.open(options.directory, options.capBytes);
    const writer = new SpoolWriter(options, file, ring);
    if (file.size > 0) writer.takeOver();
    return writer;
  }

  /** Encoded bytes of the log that can be read now. */
  get length(): number {
    return this.fileLength;
  }

  /**
   * Adds to the log, in the order of the calls; long output becomes several records. True when the bytes
   * are in the file already and their memory may be used again; otherwise they are kept until they are.
   */
  append(channel: Channel, bytes: Buffer): boolean {
    if (this.isFinished || bytes.length === 0) return true;
    const records = this.split(channel, bytes);
    const end = records.reduce((sum, record) => sum + encodedLength(record), this.fileLength);
    const isBelowCap = this.ring.headLength === null && end <= this.headLimit;
    if (this.pumping === null && isBelowCap && this.file.isQuick(bytes.length)) {
      const write = this.prepare(records, GAPS_MAX);
      this.settle(write, this.file.writeNow(this.fileLength, write.parts));
      return true;
    }
    this.queue.push(...records);
    this.queuedBytes += bytes.length;
    this.pumping ??= this.pump().finally(() => {
      this.pumping = null;
    });
    return false;
  }

  /** Null while there is room; otherwise resolves when producers may go on. */
  room(): Promise<void> | null {
    return this.queuedBytes < QUEUE_HIGH_BYTES ? null : this.pumping;
  }

  /** Resolves when everything appended so far was written, or counted as missing. */
  async drain(): Promise<void> {
    while (this.pumping !== null) await this.pumping;
  }

  /** Joins head and tail, makes the log durable and says what it is. What comes after is ignored. */
  async finish(): Promise<LogSummary> {
    this.isFinished = true;
    await this.drain();
    if (this.ring.headLength !== null) {
      await this.ring.replay((records) => this.write(records));
      this.lose(this.ring.lostAtEnd);
    }
    if (this.lost.missingBytes > 0) {
      freeReserve(this.options.directory);
      await this.write([], GAPS_MAX + 1);
    }
    await this.tail.finish();
    this.file.close();
    this.ring.remove();
    // No room even for the gap record: then only the summary can say it.
    if (this.lost.missingBytes > 0) this.gaps.push({ offset: this.fileLength, ...this.lost });
    return {
      bytes: this.fileLength,
      lines: this.lines,
      digest: `sha256:${this.hash.copy().digest('hex')}`,
      gaps: [...this.gaps],
    };
  }

  private takeOver(): void {
    const scan = scanSpool(this.file, this.ring.headLength ?? Infinity);
    for (const bytes of readBytes(this.file.fd, scan.bytes)) this.hash.update(bytes);
    this.fileLength = scan.bytes;
    this.lines = scan.lines;
    this.gaps.push(...scan.gaps);
    this.lost = { missingBytes: scan.damagedBytes, missingLines: 0 };
    this.file.truncate(scan.bytes);
  }

  private split(channel: Channel, bytes: Buffer): SpoolRecord[] {
    const timeUs = this.options.nowUs();
    const records: SpoolRecord[] = [];
    for (let at = 0; at < bytes.length; at += this.payloadLimit) {
      records.push({ channel, timeUs, payload: bytes.subarray(at, at + this.payloadLimit) });
    }
    return records;
  }

  private async pump(): Promise<void> {
    while (this.queue.length > 0) {
      const batch = this.takeBatch();
      const rest = this.ring.headLength === null ? await this.writeUpToCap(batch) : batch;
      if (rest.length > 0) await this.ring.append(rest);
      for (const record of batch) this.queuedBytes -= record.payload.length;
    }
  }

  private takeBatch(): SpoolRecord[] {
    let bytes = 0;
    let count = 0;
    const isRoom = () => bytes < QUEUE_HIGH_BYTES && count < BATCH_RECORDS_MAX;
    while (count < this.queue.length && (count === 0 || isRoom())) {
      bytes += this.queue[count++]!.payload.length;
    }
    return this.queue.splice(0, count);
  }

  /** Writes what fits below the cap; returns what belongs to the ring. */
  private async writeUpToCap(batch: SpoolRecord[]): Promise<SpoolRecord[]> {
    let end = this.fileLength;
    let fitting = 0;
    for (const record of batch) {
      end += encodedLength(record);
      if (end > this.headLimit) break;
      fitting++;
    }
    if (fitting > 0) await this.write(batch.slice(0, fitting));
    const rest = batch.slice(fitting);
    if (rest.length > 0) {
      const text = 'The log reached its limit. From here on only its end is kept.\n';
      const payload = Buffer.from(text);
      await this.write([{ channel: 'note', timeUs: rest[0]!.timeUs, payload }]);
      this.ring.begin(this.fileLength, this.lost);
      this.lost = noGap;
    }
    return rest;
  }

  /** Writes records behind what the file holds, after a gap record when some were lost before. */
  private async write(records: readonly SpoolRecord[], gapLimit = GAPS_MAX): Promise<void> {
    const write = this.prepare(records, gapLimit);
    this.settle(write, await this.file.writeSoon(this.fileLength, write.parts));
  }

  private prepare(records: readonly SpoolRecord[], gapLimit: number): PreparedWrite {
    const gap = this.lost.missingBytes > 0 ? [gapRecord(this.lost, this.options.nowUs())] : [];
    const wanted = [...gap, ...records];
    this.lost = noGap;
    const batch = this.tail.isBroken ? [] : withinGapLimit(wanted, gapLimit - this.gaps.length);
    return { wanted, batch, parts: batch.flatMap(encodeParts) };
  }

  /** Takes in what became of a write. */
  private settle({ wanted, batch, parts }: PreparedWrite, writtenBytes: number): void {
    const whole = countWhole(batch, writtenBytes);
    const before = this.fileLength;
    for (const record of batch.slice(0, whole)) this.count(record);
    for (const part of parts.slice(0, whole * 2)) this.hash.update(part);
    for (const record of wanted.slice(whole)) this.lose(sizeOf(record));
    if (whole < batch.length) this.file.cutBack(this.fileLength);
    if (whole === 0) return;
    this.tail.grew(this.fileLength - before);
    this.options.onGrew();
  }

  private count(record: SpoolRecord): void {
    if (record.channel === 'gap') this.gaps.push({ offset: this.fileLength, ...sizeOf(record) });
    this.lines += countLines(record);
    this.fileLength += encodedLength(record);
  }

  private lose(gap: Gap): void {
    this.lost = addGaps(this.lost, gap);
  }
}

interface PreparedWrite {
  wanted: readonly SpoolRecord[];
  /** What is tried: less than what is wanted when the log can take no more gaps. */
  batch: readonly SpoolRecord[];
  /** Two for each record of the batch. */
  parts: readonly Buffer[];
}

/** The records up to the first gap record that would be one too many. */
function withinGapLimit(records: readonly SpoolRecord[], gapsLeft: number): readonly SpoolRecord[] {
  let gaps = 0;
  const cut = records.findIndex((record) => record.channel === 'gap' && ++gaps > gapsLeft);
  return cut === -1 ? records : records.slice(0, cut);
}
