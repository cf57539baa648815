import type { Queries } from '../database/database.ts';
import type { ChainEntry } from './verify-chain.ts';

export interface AuditRow {
  chain: string;
  sequence: number;
  at: Date;
  actor: string;
  kind: string;
  content: Record<string, unknown>;
  hash: string;
  previous: string;
}

const COLUMNS = 'chain, sequence, at, actor, kind, content, hash, previous';

/** Entries of one chain, oldest first. */
export function listChain(
  queries: Queries,
  scope: string | null,
  chain: string,
  after: number,
  limit: number,
): Promise<AuditRow[]> {
  return queries.query<AuditRow>(
    `select ${COLUMNS} from audit_entries
     where chain = $2 and sequence > $3 and ($1::uuid is null or account_id = $1)
     order by sequence limit $4`,
    [scope, chain, after, limit],
  );
}

/** A whole chain as it is verified. */
export function readChain(queries: Queries, chain: string): Promise<ChainEntry[]> {
  return queries.query<ChainEntry & Record<string, unknown>>(
    'select sequence, entry, previous, hash from audit_entries where chain = $1 order by sequence',
    [chain],
  );
}

export interface AuditPosition {
  at: Date;
  chain: string;
  sequence: number;
}

/** Entries of every chain, newest first. */
export function listNewest(
  queries: Queries,
  scope: string | null,
  before: AuditPosition | null,
  limit: number,
): Promise<AuditRow[]> {
  return queries.query<AuditRow>(
    `select ${COLUMNS} from audit_entries
     where ($1::uuid is null or account_id = $1)
       and ($2::timestamptz is null or (at, chain, sequence) < ($2, $3, $4))
     order by at desc, chain desc, sequence desc limit $5`,
    [scope, before?.at ?? null, before?.chain ?? null, before?.sequence ?? null, limit],
  );
}
