import { countLines, RECORD_HEADER_BYTES, RecordDecoder } from '../../proto/spool/record.ts';
import type { LogRecord } from '../../proto/spool/record.ts';
import type { LogPart } from './log-reader.ts';

/** A record with its place in the encoded log; `next` is where a reader goes on. */
export interface PlacedRecord {
  type: 'record';
  offset: number;
  next: number;
  record: LogRecord;
}

/**
 * Takes a log apart into records. Throws SpoolFormatError when `offset` is not where a record begins, or the
 * agent sent something that is no log.
 */
export async function* placeRecords(
  parts: AsyncIterable<LogPart>,
  offset: number,
): AsyncGenerator<PlacedRecord | { type: 'waiting' }> {
  const decoder = new RecordDecoder();
  let at = offset;
  for await (const part of parts) {
    if (part.type === 'waiting') {
      yield part;
      continue;
    }
    for (const record of decoder.push(part.bytes)) {
      const next = at + RECORD_HEADER_BYTES + record.payload.length;
      yield { type: 'record', offset: at, next, record };
      at = next;
    }
  }
}

/** The record in which line `line` begins (the first is 0), and how many line ends come before it in there. */
export interface LineStart {
  offset: number;
  linesToSkip: number;
}

/** Null when the log has no such line. */
export async function findLineStart(
  records: AsyncIterable<PlacedRecord | { type: 'waiting' }>,
  firstLine: number,
  line: number,
): Promise<LineStart | null> {
  let lines = firstLine;
  for await (const entry of records) {
    if (entry.type === 'waiting') continue;
    const inRecord = countLines(entry.record);
    if (lines + inRecord >= line && inRecord > 0) {
      return { offset: entry.offset, linesToSkip: line - lines };
    }
    lines += inRecord;
    if (lines > line) return null;
  }
  return null;
}

/** A record without its first `count` lines. */
export function skipLines(record: LogRecord, count: number): LogRecord {
  let at = 0;
  for (let left = count; left > 0; left--) at = record.payload.indexOf(10, at) + 1;
  return { ...record, payload: record.payload.subarray(at) };
}
