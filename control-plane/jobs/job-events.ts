import type { Queries } from '../database/database.ts';

export interface JobEvent {
  sequence: number;
  at: Date;
  actor: string;
  kind: 'state' | 'journal' | 'alarm';
  content: Record<string, unknown>;
}

/** Adds events to a job in this order, in the transaction of what they tell of. */
export async function appendEvents(
  queries: Queries,
  jobId: string,
  kind: JobEvent['kind'],
  actor: string,
  contents: readonly Record<string, unknown>[],
): Promise<void> {
  if (contents.length === 0) return;
  await queries.query(
    `with numbered as (
       update jobs set next_event = next_event + $2 where id = $1 returning id, next_event - $2 as first)
     insert into job_events (job_id, sequence, kind, actor, content)
     select n.id, n.first + c.at - 1, $3, $4, c.content
     from numbered n, unnest($5::jsonb[]) with ordinality as c(content, at)`,
    [jobId, contents.length, kind, actor, contents.map((content) => JSON.stringify(content))],
  );
}

/** Notes how far the journal of a job is stored. */
export async function storeNextSequence(
  queries: Queries,
  jobId: string,
  nextSequence: number,
): Promise<void> {
  await queries.query('update jobs set next_sequence = $2 where id = $1', [jobId, nextSequence]);
}

export function readEvents(
  queries: Queries,
  jobId: string,
  after: number,
  limit: number,
): Promise<JobEvent[]> {
  return queries.query<JobEvent>(
    `select sequence, at, actor, kind, content from job_events
     where job_id = $1 and sequence > $2 order by sequence limit $3`,
    [jobId, after, limit],
  );
}

export async function countAlarms(queries: Queries, jobId: string): Promise<number> {
  const rows = await queries.query<{ count: number }>(
    `select count(*) as count from job_events where job_id = $1 and kind = 'alarm'`,
    [jobId],
  );
  return rows[0]!.count;
}
