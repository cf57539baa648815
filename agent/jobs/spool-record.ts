import { countLines, encodeRecord, type Channel, type Gap } from '../../proto/spool/record.ts';

/** A record of the log on its way to disk. */
export interface SpoolRecord {
  channel: Channel;
  /** Microseconds since 1970. */
  timeUs: number;
  payload: Buffer;
}

export const noGap: Gap = { missingBytes: 0, missingLines: 0 };

export function encodeSpoolRecord(record: SpoolRecord): Buffer {
  return encodeRecord(record.channel, record.timeUs, record.payload);
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
