import {
  countLines,
  RECORD_HEADER_BYTES,
  RecordDecoder,
  SpoolFormatError,
  type Gap,
  type LogRecord,
} from '../../proto/spool/record.ts';
import type { EndedRecord } from './journal-record.ts';
import { readPiece, type SpoolFile } from './spool-file.ts';

/** Reads records from `offset` of a file until `end`, or until its last whole record. */
export function* readRecords(fd: number, offset: number, end: number): Generator<LogRecord> {
  const decoder = new RecordDecoder();
  for (let at = offset; ;) {
    const piece = readPiece(fd, at, end);
    if (piece.length === 0) return;
    at += piece.length;
    yield* decoder.push(piece);
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
export function scanSpool(file: SpoolFile, end: number): SpoolScan {
  const found: SpoolScan = { bytes: 0, lines: 0, gaps: [], damagedBytes: 0 };
  try {
    for (const record of readRecords(file.fd, 0, end)) {
      if (record.channel === 'gap') {
        const gap = JSON.parse(record.payload.toString('utf8')) as Gap;
        found.gaps.push({ offset: found.bytes, ...gap });
      }
      found.lines += countLines(record);
      found.bytes += RECORD_HEADER_BYTES + record.payload.length;
    }
  } catch (error) {
    if (!(error instanceof SpoolFormatError || error instanceof SyntaxError)) throw error;
    found.damagedBytes = Math.min(file.size, end) - found.bytes;
  }
  return found;
}
