import { SpoolFormatError } from '../../proto/spool/record.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Queries } from '../database/database.ts';
import { readLog } from './log-reader.ts';
import { findLineStart } from './log-records.ts';
import type { LineStart } from './log-records.ts';
import { findChunkOfLine, findLogPosition } from './log-store.ts';
import type { LogUploads } from './log-uploads.ts';

export interface LogSource {
  queries: Queries;
  bus: Bus;
  uploads: LogUploads;
}

/** Where the last `count` committed lines of a job's log begin; the end when there are none. */
export async function findTail(
  source: LogSource,
  jobId: string,
  count: number,
  signal: AbortSignal,
): Promise<LineStart> {
  const position = await findLogPosition(source.queries, jobId);
  if (position === null) return { offset: 0, linesToSkip: 0 };
  const end = { offset: position.offset, linesToSkip: 0 };
  if (count === 0) return end;
  const line = Math.max(0, position.lines - count);
  if (line === 0) return { offset: 0, linesToSkip: 0 };
  const from = await findChunkOfLine(source.queries, position, line);
  const search = (offset: number, firstLine: number) =>
    findLineStart(
      readLog({ ...source, jobId, offset, follow: false, signal }),
      offset,
      firstLine,
      line,
    );
  try {
    return (await search(from.offset, from.firstLine)) ?? end;
  } catch (error) {
    // Chunks usually begin with a record; one that was sent again in other pieces may not.
    if (!(error instanceof SpoolFormatError) || from.offset === 0) throw error;
    return (await search(0, 0)) ?? end;
  }
}
