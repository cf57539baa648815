import type { Logger } from 'pino';
import type { Database, Queries } from '../database/database.ts';

const DAYS_AHEAD = 7;
const CHECK_EVERY_MS = 6 * 3600_000;
const DAY_MS = 24 * 3600_000;
/** SQLSTATE check_violation: the default partition already holds rows of that day, and keeps them. */
const ROWS_IN_DEFAULT = '23514';
// Two replicas must not make one partition at once: "iv" and "lp".
const PARTITION_LOCK = 0x6976_6c70;

/** Makes the partitions of log chunks for today and the days after it, as far as they are missing. */
export async function createLogPartitions(database: Database, now = new Date()): Promise<string[]> {
  const made: string[] = [];
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead++) {
    const from = dayText(now.getTime() + ahead * DAY_MS);
    const to = dayText(now.getTime() + (ahead + 1) * DAY_MS);
    const name = `log_chunks_${from.replaceAll('-', '_')}`;
    try {
      if (await database.transaction((queries) => createPartition(queries, name, from, to))) {
        made.push(name);
      }
    } catch (error) {
      if ((error as { code?: unknown }).code !== ROWS_IN_DEFAULT) throw error;
    }
  }
  return made;
}

async function createPartition(
  queries: Queries,
  name: string,
  from: string,
  to: string,
): Promise<boolean> {
  await queries.query('select pg_advisory_xact_lock($1)', [PARTITION_LOCK]);
  const there = await queries.query<{ found: boolean }>(
    'select to_regclass($1) is not null as found',
    [name],
  );
  if (there[0]!.found) return false;
  // Names and days are made above from a date; a statement of this kind takes no parameters.
  await queries.query(
    `create table ${name} partition of log_chunks for values from ('${from}') to ('${to}')`,
  );
  await queries.query(`alter table ${name} alter column data set storage external`);
  return true;
}

/** Keeps partitions made ahead; returns how to stop. */
export function keepLogPartitions(database: Database, log: Logger): () => void {
  const timer = setInterval(() => {
    createLogPartitions(database).catch((error: unknown) =>
      log.warn({ err: error }, 'could not make log partitions; the default one takes the rows'),
    );
  }, CHECK_EVERY_MS);
  return () => clearInterval(timer);
}

/** The UTC day, as `YYYY-MM-DD`. */
function dayText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
