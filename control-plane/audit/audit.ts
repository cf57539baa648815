import { createHash } from 'node:crypto';
import type { Queries } from '../database/database.ts';

export interface AuditEvent {
  /** `intervention:<id>`, `account:<id>` or `operator`. */
  chain: string;
  /** Who: `person:<id>`, `agent:<id>` or `system`. */
  actor: string;
  kind: string;
  accountId: string | null;
  content: Record<string, unknown>;
}

export const CHAIN_START = '0'.repeat(64);

/**
 * Adds an entry to a hash chain, in the transaction of the change it tells of, and returns the new head.
 * An entry is hashed as the exact text that is stored; the text holds the hash of the one before it.
 */
export async function appendAudit(queries: Queries, event: AuditEvent): Promise<string> {
  await queries.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [event.chain]);
  const last = await queries.query<{ sequence: number; hash: string }>(
    'select sequence, hash from audit_entries where chain = $1 order by sequence desc limit 1',
    [event.chain],
  );
  const sequence = (last[0]?.sequence ?? 0) + 1;
  const previous = last[0]?.hash ?? CHAIN_START;
  const at = new Date().toISOString();
  const entry = JSON.stringify({ previous, sequence, at, ...event });
  const hash = createHash('sha256').update(entry).digest('hex');
  await queries.query(
    `insert into audit_entries (chain, sequence, at, actor, kind, account_id, content, entry, previous, hash)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      event.chain,
      sequence,
      at,
      event.actor,
      event.kind,
      event.accountId,
      JSON.stringify(event.content),
      entry,
      previous,
      hash,
    ],
  );
  return hash;
}

/** Hash of the newest entry; `CHAIN_START` for an empty chain. */
export async function auditHead(queries: Queries, chain: string): Promise<string> {
  const rows = await queries.query<{ hash: string }>(
    'select hash from audit_entries where chain = $1 order by sequence desc limit 1',
    [chain],
  );
  return rows[0]?.hash ?? CHAIN_START;
}
