import type { Queries } from '../database/database.ts';
import { CHUNK_MAX_BYTES, decodeChunk } from './chunk.ts';
import type { Chunk } from './chunk.ts';

/** Where a job's log stands. */
export interface LogPosition {
  jobId: string;
  agentId: string;
  /** Partition key of its chunks, as `YYYY-MM-DD`. */
  day: string;
  /** Committed bytes and lines. */
  offset: number;
  lines: number;
  /** The agent has said how long it is: nothing is appended any more. */
  complete: boolean;
  /** The job has ended, by whoever's word. */
  ended: boolean;
}

const POSITION = `id as "jobId", agent_id as "agentId",
  to_char(created_at at time zone 'utc', 'YYYY-MM-DD') as day, log_offset as "offset",
  log_lines as lines, log_length is not null as complete, ended_at is not null as ended`;

export async function findLogPosition(
  queries: Queries,
  jobId: string,
): Promise<LogPosition | null> {
  const rows = await queries.query<LogPosition>(`select ${POSITION} from jobs where id = $1`, [
    jobId,
  ]);
  return rows[0] ?? null;
}

/**
 * Appends chunks that lie without gaps from `expected` on, if that is where the log ends now, and says
 * whether it was. One statement: row lock, check, growth and chunks stand or fall together.
 */
export async function appendChunks(
  queries: Queries,
  log: Pick<LogPosition, 'jobId' | 'day'>,
  expected: number,
  chunks: readonly Chunk[],
): Promise<boolean> {
  const last = chunks.at(-1)!;
  const values: unknown[] = [
    log.jobId,
    log.day,
    expected,
    last.offset + last.length,
    last.firstLine + last.lines,
  ];
  const rows = chunks.map((chunk) => {
    const { offset, length, firstLine, lines, compression, data } = chunk;
    // Buffers travel in binary; as an array of bytea they would travel as text.
    const at = values.push(offset, length, firstLine, lines, compression, data) - 5;
    return `($${at}::bigint, $${at + 1}::int, $${at + 2}::bigint, $${at + 3}::int, $${at + 4}::smallint, $${at + 5}::bytea)`;
  });
  const inserted = await queries.query(
    `with grown as (
       update jobs set log_offset = $4, log_lines = $5
       where id = $1 and log_offset = $3 and log_length is null returning id)
     insert into log_chunks (day, job_id, start, length, first_line, lines, compression, data)
     select $2::date, grown.id, c.* from grown cross join (values ${rows.join(', ')}) as c
     returning 1 as stored`,
    values,
  );
  return inserted.length > 0;
}

/** A stored chunk, opened. */
export interface StoredChunk {
  offset: number;
  firstLine: number;
  lines: number;
  bytes: Buffer;
}

/** Chunks from the one that holds byte `offset` on, at most `limit`. */
export async function readChunks(
  queries: Queries,
  log: Pick<LogPosition, 'jobId' | 'day'>,
  offset: number,
  limit: number,
): Promise<StoredChunk[]> {
  const rows = await queries.query<{
    start: number;
    length: number;
    firstLine: number;
    lines: number;
    compression: number;
    data: Buffer;
  }>(
    `select start, length, first_line as "firstLine", lines, compression, data from log_chunks
     where day = $1 and job_id = $2 and start > $3::bigint - ${CHUNK_MAX_BYTES} and start + length > $3
     order by start limit $4`,
    [log.day, log.jobId, offset, limit],
  );
  return rows.map(({ start, length, firstLine, lines, compression, data }) => ({
    offset: start,
    firstLine,
    lines,
    bytes: decodeChunk(compression, data, length),
  }));
}

/** The chunk in which line `line` (counted from 0, not the first) begins, or which ends with the line before. */
export async function findChunkOfLine(
  queries: Queries,
  log: Pick<LogPosition, 'jobId' | 'day'>,
  line: number,
): Promise<{ offset: number; firstLine: number }> {
  const rows = await queries.query<{ offset: number; firstLine: number }>(
    `select start as "offset", first_line as "firstLine" from log_chunks
     where day = $1 and job_id = $2 and first_line < $3 order by start desc limit 1`,
    [log.day, log.jobId, line],
  );
  return rows[0] ?? { offset: 0, firstLine: 0 };
}
