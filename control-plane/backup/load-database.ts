import type pg from 'pg';
import { appendAudit, CHAIN_START } from '../audit/audit.ts';
import type { Queries } from '../database/database.ts';
import { moveJobs } from '../jobs/move-job.ts';
import { copyIn } from './copy-stream.ts';
import { copyInStatement, listTables, setSequence } from './database-tables.ts';
import type { Sequence, Table } from './database-tables.ts';
import { BackupDamagedError } from './frames.ts';

/** Numbers that people were told after the backup are not given to something else. */
const NUMBERS_SKIPPED = 1_000;

/** Puts the rows of one table back. Throws when the backup speaks of what this schema does not have. */
export async function loadTable(
  client: pg.Client,
  table: Table,
  rows: AsyncIterable<Buffer>,
): Promise<void> {
  const known = (await listTables(client)).find(({ name }) => name === table.name);
  const isKnown =
    known !== undefined && table.columns.every((column) => known.columns.includes(column));
  if (!isKnown) throw new BackupDamagedError(`this schema has no such table: ${table.name}`);
  await copyIn(client, copyInStatement(table), rows);
}

export async function loadSequences(
  client: pg.Client,
  sequences: readonly Sequence[],
): Promise<void> {
  for (const sequence of sequences) {
    await setSequence(client, { ...sequence, last: sequence.last + NUMBERS_SKIPPED });
  }
}

/** Goes through every hash chain; throws BackupDamagedError for the first entry that does not belong. */
export async function requireIntactChains(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ chain: string; sequence: string }>(
    `select chain, sequence::text from (
       select chain, sequence, hash, previous, entry,
         lag(hash) over w as "before", row_number() over w as place
       from audit_entries window w as (partition by chain order by sequence)) as e
     where sequence <> place or previous <> coalesce("before", $1)
       or hash <> encode(sha256(convert_to(entry, 'UTF8')), 'hex')
     order by chain, sequence limit 1`,
    [CHAIN_START],
  );
  const broken = rows[0];
  if (broken !== undefined) {
    throw new BackupDamagedError(`the audit chain ${broken.chain} breaks at ${broken.sequence}`);
  }
  const counted = await client.query<{ entries: string }>(
    'select count(*)::text as entries from audit_entries',
  );
  return Number(counted.rows[0]!.entries);
}

/**
 * Notes that this database was put back, and what follows from it: agents may have certificates that it does not
 * know, and what waited here for an agent may have been carried out since.
 */
export async function noteRestoration(
  client: pg.Client,
  { id, takenAt }: { id: string; takenAt: string },
): Promise<{ asked: number }> {
  const queries: Queries = {
    query: async (sql, values = []) => (await client.query(sql, [...values])).rows,
  };
  await queries.query('insert into restorations (id, taken_at) values ($1, $2)', [id, takenAt]);
  // Sessions that were open then are not open now.
  await queries.query('update agents set connected_at = null where connected_at is not null');
  // An agent that has carried such an order out says so when it is given to it again; one that never got it
  // refuses it, or carries it out once, while there is time.
  const moved = await moveJobs<{ id: string }>(
    queries,
    { where: () => `j.state = 'queued'`, values: [] },
    { to: 'delivered', actor: 'system', detail: 'from a backup: the agent may have it already' },
    { columns: 'moved.id', durable: true },
  );
  await appendAudit(queries, {
    chain: 'operator',
    actor: 'system',
    kind: 'control_plane.restored',
    accountId: null,
    content: { backup: id, takenAt },
  });
  return { asked: moved.length };
}
