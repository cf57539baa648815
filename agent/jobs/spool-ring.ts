import { constants, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { SpoolFormatError, type Gap } from '../../proto/spool/record.ts';
import { readPiece, SpoolFile } from './spool-file.ts';
import { readRecords } from './spool-scan.ts';
import {
  addGaps,
  countWhole,
  encodedLength,
  encodeParts,
  gapRecord,
  noGap,
  sizeOf,
  subtractGaps,
  type SpoolRecord,
} from './spool-record.ts';

const BATCH_BYTES = 256 * 1024;
export const SEGMENT_FILES = ['tail.a', 'tail.b'] as const;
const MAGIC = Buffer.from('IVTAIL\0\x01', 'latin1');
/** Magic, then sequence, head length, bytes and lines seen before, time (u64 each), CRC-32 of it all. */
const HEADER_BYTES = MAGIC.length + 5 * 8 + 4;

interface SegmentHeader {
  sequence: number;
  headLength: number;
  /** What had gone into the ring when this segment began; after a crash it tells what is missing. */
  before: Gap;
  timeUs: number;
}

interface Segment extends SegmentHeader {
  file: SpoolFile;
  length: number;
  /** What its records hold, or stand for. */
  holds: Gap;
}

/**
 * The end of a log that outgrew its head: two files that take turns, each a quarter of the cap. The older
 * one is overwritten when the newer one is full, so at least a quarter of the cap is always kept.
 */
export class SpoolRing {
  private readonly directory: string;
  private readonly segmentLimit: number;
  private readonly found: SegmentHeader[];
  private head: number | null;
  private seen: Gap = noGap;
  private sequence = 0;
  private readonly segments: (Segment | null)[] = [null, null];

  private constructor(directory: string, capBytes: number, found: SegmentHeader[]) {
    this.directory = directory;
    this.segmentLimit = Math.floor(capBytes / 4);
    this.found = found;
    this.head = found[0]?.headLength ?? null;
  }

  /** Finds what a dead runner left. */
  static open(directory: string, capBytes: number): SpoolRing {
    const found: SegmentHeader[] = [];
    for (const name of SEGMENT_FILES) {
      const path = join(directory, name);
      if (!existsSync(path)) continue;
      const file = SpoolFile.open(path, constants.O_RDONLY);
      const header = decodeHeader(readPiece(file.fd, 0, HEADER_BYTES));
      if (header !== null) found.push(header);
      file.close();
    }
    found.sort((a, b) => a.sequence - b.sequence);
    return new SpoolRing(directory, capBytes, found);
  }

  /** Length of the spool in front of the ring; null while there is no ring. */
  get headLength(): number | null {
    return this.head;
  }

  begin(headLength: number, lostBefore: Gap): void {
    this.head = headLength;
    this.seen = lostBefore;
  }

  async append(records: readonly SpoolRecord[]): Promise<void> {
    for (let at = 0; at < records.length;) {
      const segment = await this.segmentFor(records[at]!);
      const group = segment === null ? [records[at]!] : this.fitting(segment, records, at);
      if (segment !== null) await this.write(segment, group);
      for (const record of group) this.seen = addGaps(this.seen, sizeOf(record));
      at += group.length;
    }
  }

  /** Gives back what was kept, in order, with gap records for what was not. */
  async replay(take: (records: SpoolRecord[]) => Promise<void>): Promise<void> {
    let position = noGap;
    for (const segment of this.headers()) {
      const hole = subtractGaps(segment.before, position);
      if (hole.missingBytes > 0) await take([gapRecord(hole, segment.timeUs)]);
      position = segment.before;
      for (const batch of this.batchesOf(segment)) {
        for (const record of batch) position = addGaps(position, sizeOf(record));
        await take(batch);
      }
    }
  }

  /** What was lost after the last record that is kept. */
  get lostAtEnd(): Gap {
    if (this.found.length > 0) return noGap;
    const last = this.segments
      .filter((segment) => segment !== null)
      .toSorted((a, b) => a.sequence - b.sequence)
      .at(-1);
    return last === undefined ? this.seen : this.lostIn(last);
  }

  close(): void {
    for (const segment of this.segments) segment?.file.close();
    this.segments.fill(null);
  }

  remove(): void {
    this.close();
    for (const file of SEGMENT_FILES)
      rmSync(join(this.directory, file), { recursive: true, force: true });
  }

  /** Stops at damage; the next segment's `before` then tells how much that cost. */
  private *batchesOf(segment: SegmentHeader): Generator<SpoolRecord[]> {
    const path = join(this.directory, SEGMENT_FILES[segment.sequence % 2]!);
    const file = SpoolFile.open(path, constants.O_RDONLY);
    let batch: SpoolRecord[] = [];
    let bytes = 0;
    try {
      for (const record of readRecords(file.fd, HEADER_BYTES, Infinity)) {
        batch.push(record);
        bytes += record.payload.length;
        if (bytes < BATCH_BYTES) continue;
        yield batch;
        batch = [];
        bytes = 0;
      }
    } catch (error) {
      if (!(error instanceof SpoolFormatError)) throw error;
    } finally {
      file.close();
    }
    if (batch.length > 0) yield batch;
  }

  private headers(): SegmentHeader[] {
    if (this.found.length > 0) return this.found;
    return this.segments
      .filter((segment) => segment !== null)
      .toSorted((a, b) => a.sequence - b.sequence);
  }

  private lostIn(segment: Segment): Gap {
    return subtractGaps(this.seen, addGaps(segment.before, segment.holds));
  }

  /** The segment the record belongs to; null when a new one is due and cannot be written. */
  private async segmentFor(record: SpoolRecord): Promise<Segment | null> {
    const current = this.segments[this.sequence % 2];
    if (current && current.sequence === this.sequence) {
      const isEmpty = current.length === HEADER_BYTES;
      const end = current.length + encodedLength(record);
      if (isEmpty || end <= this.segmentLimit) return current;
    }
    return this.beginSegment(record.timeUs);
  }

  /** The records from `at` on that fit in the segment; at least one. */
  private fitting(segment: Segment, records: readonly SpoolRecord[], at: number): SpoolRecord[] {
    let end = segment.length;
    let count = 0;
    for (const record of records.slice(at)) {
      end += encodedLength(record);
      if (count > 0 && end > this.segmentLimit) break;
      count++;
    }
    return records.slice(at, at + count);
  }

  private async beginSegment(timeUs: number): Promise<Segment | null> {
    const sequence = this.sequence + 1;
    const slot = sequence % 2;
    this.segments[slot]?.file.close();
    this.segments[slot] = null;
    const header = { sequence, headLength: this.head ?? 0, before: this.seen, timeUs };
    const file = this.create(SEGMENT_FILES[slot]!);
    if (file === null) return null;
    if ((await file.writeSoon(0, [encodeHeader(header)])) < HEADER_BYTES) {
      file.close();
      return null;
    }
    this.sequence = sequence;
    const segment = { ...header, file, length: HEADER_BYTES, holds: noGap };
    this.segments[slot] = segment;
    return segment;
  }

  private create(name: string): SpoolFile | null {
    const { O_RDWR, O_CREAT, O_TRUNC } = constants;
    try {
      return SpoolFile.open(join(this.directory, name), O_RDWR | O_CREAT | O_TRUNC);
    } catch {
      return null;
    }
  }

  /** What the disk does not take is lost; the next record that it takes has a gap in front. */
  private async write(segment: Segment, records: readonly SpoolRecord[]): Promise<void> {
    const lost = this.lostIn(segment);
    const gap = lost.missingBytes > 0 ? [gapRecord(lost, records[0]!.timeUs)] : [];
    const batch = [...gap, ...records];
    const written = await segment.file.writeSoon(segment.length, batch.flatMap(encodeParts));
    const whole = countWhole(batch, written);
    for (const record of batch.slice(0, whole)) {
      segment.length += encodedLength(record);
      segment.holds = addGaps(segment.holds, sizeOf(record));
    }
    if (whole < batch.length) segment.file.cutBack(segment.length);
  }
}

function encodeHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  const { before } = header;
  const numbers = [
    header.sequence,
    header.headLength,
    before.missingBytes,
    before.missingLines,
    header.timeUs,
  ];
  for (const [index, number] of numbers.entries()) {
    bytes.writeBigUInt64LE(BigInt(number), MAGIC.length + index * 8);
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), HEADER_BYTES - 4);
  return bytes;
}

function decodeHeader(bytes: Buffer): SegmentHeader | null {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return null;
  if (crc32(bytes.subarray(0, -4)) !== bytes.readUInt32LE(HEADER_BYTES - 4)) return null;
  const number = (index: number) => Number(bytes.readBigUInt64LE(MAGIC.length + index * 8));
  return {
    sequence: number(0),
    headLength: number(1),
    before: { missingBytes: number(2), missingLines: number(3) },
    timeUs: number(4),
  };
}
