import {
  countLines,
  RECORD_HEADER_BYTES,
  RecordDecoder,
  SpoolFormatError,
} from '../../proto/spool/record.ts';
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

/** The record in which a line begins, and how many line ends come before it in there. */
export interface LineStart {
  offset: number;
  linesToSkip: number;
}

/**
 * Where line number `line` (the first is 0) begins, in a log read from `offset` on, before which `firstLine`
 * lines have ended; null when it has no such line. Reads to the end: throws SpoolFormatError unless what is
 * there are whole records, so that a wrong `offset` is noticed.
 */
export async function findLineStart(
  parts: AsyncIterable<LogPart>,
  offset: number,
  firstLine: number,
  line: number,
): Promise<LineStart | null> {
  const decoder = new RecordDecoder();
  let at = offset;
  let lines = firstLine;
  let found: LineStart | null = null;
  for await (const part of parts) {
    if (part.type === 'waiting') continue;
    for (const record of decoder.push(part.bytes)) {
      const skip = line - lines;
      const begins = skip === 0 || hasTextAfter(record, skip);
      if (found === null && skip >= 0 && begins) found = { offset: at, linesToSkip: skip };
      lines += countLines(record);
      at += RECORD_HEADER_BYTES + record.payload.length;
    }
  }
  if (decoder.pendingBytes > 0) throw new SpoolFormatError('the log ends within a record');
  return found;
}

/** Whether anything of the record lies after its first `count` lines. */
function hasTextAfter(record: LogRecord, count: number): boolean {
  return countLines(record) >= count && skipLines(record, count).payload.length > 0;
}

/** A record without its first `count` lines. */
export function skipLines(record: LogRecord, count: number): LogRecord {
  let at = 0;
  for (let left = count; left > 0; left--) at = record.payload.indexOf(10, at) + 1;
  return { ...record, payload: record.payload.subarray(at) };
}
