import type { Queries } from '../database/database.ts';

export interface JobEvent {
  sequence: number;
  at: Date;
  actor: string;
  kind: 'state' | 'journal' | 'alarm';
  content: Record<string, unknown>;
}

/**
 * Adds events to a job in this order, in the transaction of what they tell of.
 *
 * @param journal how far the journal is stored with them, and how many bytes it is
 */
export async function appendEvents(
  queries: Queries,
  jobId: string,
  kind: JobEvent['kind'],
  actor: string,
  contents: readonly Record<string, unknown>[],
  journal: { nextSequence: number; bytes: number } | null = null,
): Promise<void> {
  if (contents.length === 0 && journal === null) return;
  await queries.query(
    `with numbered as (
       update jobs set next_event = next_event + $2, next_sequence = coalesce($6, next_sequence),
         journal_bytes = coalesce($7, journal_bytes)
       where id = $1 returning id, next_event - $2 as first)
     insert into job_events (job_id, sequence, kind, actor, content)
     select n.id, n.first + c.at - 1, $3, $4, c.content
     from numbered n, unnest($5::jsonb[]) with ordinality as c(content, at)`,
    [
      jobId,
      contents.length,
      kind,
      actor,
      contents.map((content) => JSON.stringify(content)),
      journal?.nextSequence ?? null,
      journal?.bytes ?? null,
    ],
  );
}

export interface EventsPage {
  events: JobEvent[];
  hasMore: boolean;
}

/** Events after `after`: at most `most.events`, and no further one once they make up `most.bytes` of JSON. */
export async function readEvents(
  queries: Queries,
  jobId: string,
  after: number,
  most: { events: number; bytes: number },
): Promise<EventsPage> {
  const rows = await queries.query<JobEvent & { hasMore: boolean }>(
    `select sequence, at, actor, kind, content, has_more as "hasMore" from (
       select e.*, row_number() over w as place, lead(sequence) over w is not null as has_more,
         sum(octet_length(content::text)) over w - octet_length(content::text) as bytes_before
       from (select * from job_events where job_id = $1 and sequence > $2
             order by sequence limit $3::int + 1) e
       window w as (order by sequence)) placed
     where place <= $3::int and bytes_before < $4::bigint order by sequence`,
    [jobId, after, most.events, most.bytes],
  );
  const events = rows.map(({ sequence, at, actor, kind, content }) => {
    return { sequence, at, actor, kind, content };
  });
  return { events, hasMore: rows.at(-1)?.hasMore ?? false };
}

export async function countAlarms(queries: Queries, jobId: string): Promise<number> {
  const rows = await queries.query<{ count: number }>(
    `select count(*) as count from job_events where job_id = $1 and kind = 'alarm'`,
    [jobId],
  );
  return rows[0]!.count;
}
