import type { Queries } from '../database/database.ts';

/** Whether a backup was put back after this moment that was taken before it: what happened then is lost here. */
export async function isLostTime(queries: Queries, moment: Date): Promise<boolean> {
  // Certificates count whole seconds.
  const rows = await queries.query(
    `select from restorations where taken_at < $1::timestamptz + interval '1 second' and restored_at >= $1`,
    [moment],
  );
  return rows.length > 0;
}
