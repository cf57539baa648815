import { closeSync, constants, readSync } from 'node:fs';
import { join } from 'node:path';
import {
  RECORD_HEADER_BYTES,
  RECORD_PAYLOAD_MAX_BYTES,
  SpoolFormatError,
} from '../../proto/spool/record.ts';
import { openOwnFile } from './own-file.ts';
import { SPOOL_FILE } from './spool-writer.ts';

/**
 * Whole records of the spool in `directory` from `offset`, at most `maxBytes` and never beyond `length`;
 * a single record that is larger than `maxBytes` comes alone. Empty when there is nothing there. Throws
 * SpoolFormatError when no record begins at `offset`, and ForeignFileError when it is no plain file.
 */
export function readSpool(
  directory: string,
  offset: number,
  length: number,
  maxBytes: number,
): Buffer {
  const available = length - offset;
  if (available <= 0) return Buffer.alloc(0);
  const fd = openOwnFile(join(directory, SPOOL_FILE), constants.O_RDONLY);
  try {
    const want = Math.min(available, Math.max(maxBytes, RECORD_HEADER_BYTES));
    let bytes = readAt(want);
    const first = recordLength(bytes, 0);
    if (first > want) bytes = readAt(Math.min(first, available));
    return bytes.subarray(0, lastBoundary(bytes, Math.max(first, maxBytes)));
  } finally {
    closeSync(fd);
  }

  function readAt(count: number): Buffer {
    const bytes = Buffer.allocUnsafe(count);
    return bytes.subarray(0, readSync(fd, bytes, 0, count, offset));
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
