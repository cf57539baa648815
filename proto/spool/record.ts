/**
 * The encoded log of a job: a sequence of records that agent, control plane and readers all understand.
 * Offsets everywhere count bytes of this encoding, so it is never changed on the way.
 *
 * Record: payload length (u32, little endian), channel (u8), time in microseconds since 1970 (u64, little
 * endian), payload.
 */
export const RECORD_HEADER_BYTES = 13;
export const RECORD_PAYLOAD_MAX_BYTES = 64 * 1024;

/** `gap` carries JSON: what the cap of the spool left out. */
export const channels = { out: 1, err: 2, note: 3, gap: 4 } as const;
export type Channel = keyof typeof channels;

const channelNames = new Map<number, Channel>(
  Object.entries(channels).map(([name, code]) => [code, name as Channel]),
);

export interface LogRecord {
  channel: Channel;
  /** Microseconds since 1970. */
  timeUs: number;
  payload: Buffer;
}

export interface Gap {
  missingBytes: number;
  missingLines: number;
}

/** Throws RangeError for a payload that is too large or a time that is no whole number. */
export function encodeRecord(channel: Channel, timeUs: number, payload: Uint8Array): Buffer {
  return Buffer.concat([encodeRecordHeader(channel, timeUs, payload.byteLength), payload]);
}

/** What stands in front of a payload, for a writer that does not copy it. Throws like `encodeRecord`. */
export function encodeRecordHeader(channel: Channel, timeUs: number, payloadBytes: number): Buffer {
  if (!Number.isSafeInteger(timeUs) || timeUs < 0) throw new RangeError('not a time');
  if (payloadBytes > RECORD_PAYLOAD_MAX_BYTES) throw new RangeError('record too large');
  const header = Buffer.allocUnsafe(RECORD_HEADER_BYTES);
  header.writeUInt32LE(payloadBytes, 0);
  header.writeUInt8(channels[channel], 4);
  header.writeUInt32LE(timeUs % 2 ** 32, 5);
  header.writeUInt32LE(Math.floor(timeUs / 2 ** 32), 9);
  return header;
}

/** Thrown for bytes that are no records: the log is damaged, or the reader started in the wrong place. */
export class SpoolFormatError extends Error {
  override name = 'SpoolFormatError';
}

/**
 * Takes a byte stream apart into records, whatever pieces it arrives in. Payloads lie in the memory of the
 * pieces they came in. Holds one record at most, once what `push` returned was read to its end. Throws
 * SpoolFormatError for what no encoder of ours wrote.
 */
export class RecordDecoder {
  private pending: Buffer = Buffer.alloc(0);

  *push(bytes: Uint8Array): Generator<LogRecord> {
    let data =
      this.pending.length === 0
        ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
        : Buffer.concat([this.pending, bytes]);
    while (data.length >= RECORD_HEADER_BYTES) {
      const length = data.readUInt32LE(0);
      const channel = channelNames.get(data.readUInt8(4));
      const timeUs = data.readUInt32LE(5) + data.readUInt32LE(9) * 2 ** 32;
      // A time that JavaScript cannot hold exactly is also one that no Date can show.
      if (
        length > RECORD_PAYLOAD_MAX_BYTES ||
        channel === undefined ||
        !Number.isSafeInteger(timeUs)
      ) {
        throw new SpoolFormatError('not a log record');
      }
      const end = RECORD_HEADER_BYTES + length;
      if (data.length < end) break;
      const payload = data.subarray(RECORD_HEADER_BYTES, end);
      data = data.subarray(end);
      this.pending = data;
      yield { channel, timeUs, payload };
    }
    this.pending = Buffer.from(data);
  }

  /** Bytes of a record that has not arrived whole. */
  get pendingBytes(): number {
    return this.pending.length;
  }
}

/** Line ends in a record; only what a program printed counts. */
export function countLines(record: Pick<LogRecord, 'channel' | 'payload'>): number {
  if (record.channel !== 'out' && record.channel !== 'err') return 0;
  let lines = 0;
  for (let at = record.payload.indexOf(10); at !== -1; at = record.payload.indexOf(10, at + 1)) {
    lines++;
  }
  return lines;
}
