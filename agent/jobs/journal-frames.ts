import { crc32 } from 'node:zlib';
import type { JournalRecord } from './journal-record.ts';

/** First bytes of every journal; the last one is the version. */
export const JOURNAL_HEADER = Buffer.from('IVJOURN\x01', 'latin1');
/** Payload length, CRC-32 of the payload, CRC-32 of the eight bytes before; all u32, little endian. */
export const FRAME_HEADER_BYTES = 12;
export const FRAME_PAYLOAD_MAX_BYTES = 1024 * 1024;

/**
 * Thrown for a journal that says something it was never given: a flipped bit, foreign bytes, an unknown
 * version. Nothing after `offset` can be believed; what stands before it is in `payloads`.
 */
export class JournalDamagedError extends Error {
  override name = 'JournalDamagedError';
  readonly offset: number;
  readonly payloads: readonly unknown[];

  constructor(what: string, offset: number, payloads: readonly unknown[]) {
    super(`journal damaged at byte ${offset}: ${what}`);
    this.offset = offset;
    this.payloads = payloads;
  }
}

/** One frame. The header has a checksum of its own, so that a torn frame and a damaged length differ. */
export function encodeFrame(record: JournalRecord): Buffer {
  const payload = Buffer.from(JSON.stringify(record), 'utf8');
  if (payload.length > FRAME_PAYLOAD_MAX_BYTES) throw new RangeError('journal record too large');
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt32LE(crc32(payload), 4);
  frame.writeUInt32LE(crc32(frame.subarray(0, 8)), 8);
  payload.copy(frame, FRAME_HEADER_BYTES);
  return frame;
}

export interface DecodedFrames {
  payloads: unknown[];
  /** Offset after the last whole frame; what follows it is a torn frame. */
  end: number;
}

/**
 * Takes whole frames from `bytes`, which begin at `offset` of the journal. An incomplete last frame is
 * left alone: its writer died, or is still writing. Throws JournalDamagedError for everything else.
 */
export function decodeFrames(bytes: Buffer, offset: number): DecodedFrames {
  const payloads: unknown[] = [];
  let at = 0;
  while (bytes.length - at >= FRAME_HEADER_BYTES) {
    const length = bytes.readUInt32LE(at);
    if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32LE(at + 8)) {
      throw new JournalDamagedError('a frame header', offset + at, payloads);
    }
    if (length > FRAME_PAYLOAD_MAX_BYTES) {
      throw new JournalDamagedError('a frame over the limit', offset + at, payloads);
    }
    const start = at + FRAME_HEADER_BYTES;
    if (bytes.length - start < length) break;
    const payload = bytes.subarray(start, start + length);
    if (crc32(payload) !== bytes.readUInt32LE(at + 4)) {
      throw new JournalDamagedError('a record', offset + at, payloads);
    }
    payloads.push(JSON.parse(payload.toString('utf8')));
    at = start + length;
  }
  return { payloads, end: offset + at };
}

/**
 * Decodes a journal from its first byte. A file shorter than the header, as a crash at its creation
 * leaves it, has no records.
 */
export function decodeJournal(bytes: Buffer): DecodedFrames {
  const header = bytes.subarray(0, JOURNAL_HEADER.length);
  if (!JOURNAL_HEADER.subarray(0, header.length).equals(header)) {
    throw new JournalDamagedError('not a journal of a version known here', 0, []);
  }
  if (header.length < JOURNAL_HEADER.length) return { payloads: [], end: 0 };
  return decodeFrames(bytes.subarray(header.length), header.length);
}
