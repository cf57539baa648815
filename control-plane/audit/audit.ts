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
  const at = new Date().toISOString();
  const rest = JSON.stringify({ at, ...event }).slice(1);
  const rows = await queries.query<{ hash: string }>(
    'select append_audit($1, $2, $3, $4, $5, $6, $7) as hash',
    [
      event.chain,
      at,
      event.actor,
      event.kind,
      event.accountId,
      JSON.stringify(event.content),
      rest,
    ],
  );
  return rows[0]!.hash;
}

/** Hash of the newest entry; `CHAIN_START` for an empty chain. */
export async function auditHead(queries: Queries, chain: string): Promise<string> {
  const rows = await queries.query<{ hash: string }>(
    'select hash from audit_entries where chain = $1 order by sequence desc limit 1',
    [chain],
  );
  return rows[0]?.hash ?? CHAIN_START;
}
