import { open } from 'node:fs/promises';
import { join } from 'node:path';
import {
  RECORD_HEADER_BYTES,
  RECORD_PAYLOAD_MAX_BYTES,
  SpoolFormatError,
} from '../../proto/spool/record.ts';
import { SPOOL_FILE } from './spool-writer.ts';

/**
 * Whole records of the spool in `directory` from `offset`, at most `maxBytes` and never beyond `length`;
 * a single record that is larger than `maxBytes` comes alone. Empty when there is nothing there. Throws
 * SpoolFormatError when no record begins at `offset`.
 */
export async function readSpool(
  directory: string,
  offset: number,
  length: number,
  maxBytes: number,
): Promise<Buffer> {
  const available = length - offset;
  if (available <= 0) return Buffer.alloc(0);
  const handle = await open(join(directory, SPOOL_FILE));
  try {
    const want = Math.min(available, Math.max(maxBytes, RECORD_HEADER_BYTES));
    let bytes = await readAt(want);
    const first = recordLength(bytes, 0);
    if (first > want) bytes = await readAt(Math.min(first, available));
    return bytes.subarray(0, lastBoundary(bytes, Math.max(first, maxBytes)));
  } finally {
    await handle.close();
  }

  async function readAt(count: number): Promise<Buffer> {
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(count), 0, count, offset);
    return buffer.subarray(0, bytesRead);
  }
}

function lastBoundary(bytes: Buffer, maxBytes: number): number {
  let at = 0;
  while (bytes.length - at >= RECORD_HEADER_BYTES) {
    const end = at + recordLength(bytes, at);
    if (end > bytes.length || end > maxBytes) break;
    at = end;
  }
  return at;
}

function recordLength(bytes: Buffer, at: number): number {
  if (bytes.length - at < RECORD_HEADER_BYTES) throw new SpoolFormatError('no whole record here');
  const payload = bytes.readUInt32LE(at);
  if (payload > RECORD_PAYLOAD_MAX_BYTES) throw new SpoolFormatError('not a log record');
  return RECORD_HEADER_BYTES + payload;
}
