import type { FileHandle } from 'node:fs/promises';
import {
  countLines,
  RECORD_HEADER_BYTES,
  RecordDecoder,
  SpoolFormatError,
  type Gap,
  type LogRecord,
} from '../../proto/spool/record.ts';
import type { EndedRecord } from './journal-record.ts';

const READ_BYTES = 256 * 1024;

/** Reads records from `offset` of a file until `end`, or until its last whole record. */
export async function* readRecords(
  handle: FileHandle,
  offset: number,
  end: number | null,
): AsyncGenerator<LogRecord> {
  const decoder = new RecordDecoder();
  for (let at = offset; ;) {
    const want = Math.min(READ_BYTES, (end ?? Infinity) - at);
    if (want <= 0) return;
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(want), 0, want, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield* decoder.push(buffer.subarray(0, bytesRead));
  }
}

export interface SpoolScan extends Pick<EndedRecord['log'], 'bytes' | 'lines' | 'gaps'> {
  /** Bytes after the last good record that are no records: the file was damaged. */
  damagedBytes: number;
}

/**
 * What a spool on disk holds, up to `end` or its last whole record: the figures that its writer kept
 * while writing.
 */
export async function scanSpool(handle: FileHandle, end: number | null): Promise<SpoolScan> {
  const found: SpoolScan = { bytes: 0, lines: 0, gaps: [], damagedBytes: 0 };
  try {
    for await (const record of readRecords(handle, 0, end)) {
      if (record.channel === 'gap') {
        const gap = JSON.parse(record.payload.toString('utf8')) as Gap;
        found.gaps.push({ offset: found.bytes, ...gap });
      }
      found.lines += countLines(record);
      found.bytes += RECORD_HEADER_BYTES + record.payload.length;
    }
  } catch (error) {
    if (!(error instanceof SpoolFormatError || error instanceof SyntaxError)) throw error;
    const { size } = await handle.stat();
    found.damagedBytes = Math.min(size, end ?? size) - found.bytes;
  }
  return found;
}

/** The first `length` bytes of a file, in pieces. */
export async function* readBytes(handle: FileHandle, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < length;) {
    const want = Math.min(READ_BYTES, length - at);
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(want), 0, want, at);
    if (bytesRead === 0) throw new Error('the log shrank while it was read');
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
