import {
  countLines,
  encodeRecordHeader,
  RECORD_HEADER_BYTES,
  type Channel,
  type Gap,
} from '../../proto/spool/record.ts';

/** A record of the log on its way to disk. */
export interface SpoolRecord {
  channel: Channel;
  /** Microseconds since 1970. */
  timeUs: number;
  payload: Buffer;
}

export const noGap: Gap = { missingBytes: 0, missingLines: 0 };

/** Header and payload; the payload is not copied. */
export function encodeParts({ channel, timeUs, payload }: SpoolRecord): [Buffer, Buffer] {
  return [encodeRecordHeader(channel, timeUs, payload.length), payload];
}

/** Bytes of the record in the log. */
export function encodedLength({ payload }: Pick<SpoolRecord, 'payload'>): number {
  return RECORD_HEADER_BYTES + payload.length;
}

/** How many of the records are whole when `bytes` of them were written. */
export function countWhole(records: readonly SpoolRecord[], bytes: number): number {
  let end = 0;
  const cut = records.findIndex((record) => (end += encodedLength(record)) > bytes);
  return cut === -1 ? records.length : cut;
}

export function gapRecord(gap: Gap, timeUs: number): SpoolRecord {
  return { channel: 'gap', timeUs, payload: Buffer.from(JSON.stringify(gap)) };
}

/** What is missing when this record is. A gap record stands for what it says, not for its own bytes. */
export function sizeOf(record: Pick<SpoolRecord, 'channel' | 'payload'>): Gap {
  if (record.channel === 'gap') return JSON.parse(record.payload.toString('utf8')) as Gap;
  return { missingBytes: record.payload.length, missingLines: countLines(record) };
}

export function addGaps(a: Gap, b: Gap): Gap {
  return {
    missingBytes: a.missingBytes + b.missingBytes,
    missingLines: a.missingLines + b.missingLines,
  };
}

export function subtractGaps(a: Gap, b: Gap): Gap {
  return {
    missingBytes: a.missingBytes - b.missingBytes,
    missingLines: a.missingLines - b.missingLines,
  };
}
