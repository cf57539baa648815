import type { Queries } from '../database/database.ts';

/** The person who ordered a job; null when they are no longer known. */
export async function readOrderer(queries: Queries, jobId: string): Promise<string | null> {
  const rows = await queries.query<{ orderedBy: string | null }>(
    `select ordered_by as "orderedBy" from jobs where id = $1`,
    [jobId],
  );
  return rows[0]?.orderedBy ?? null;
}
