import type { Queries } from '../database/database.ts';
import type { AgentMode } from './agent-store.ts';

export interface EnrollmentRow {
  id: string;
  serverId: string;
  mode: AgentMode;
  tokenHash: Buffer;
  createdBy: string;
  expiresAt: Date;
}

/** Keeps a new token; an earlier one of the same person for the same server is of no use any more. */
export async function insertEnrollment(queries: Queries, row: EnrollmentRow): Promise<void> {
  await queries.query('delete from enrollments where server_id = $1 and created_by = $2', [
    row.serverId,
    row.createdBy,
  ]);
  await queries.query(
    `insert into enrollments (id, server_id, mode, token_hash, created_by, expires_at)
     values ($1, $2, $3, $4, $5, $6)`,
    [row.id, row.serverId, row.mode, row.tokenHash, row.createdBy, row.expiresAt],
  );
}

export interface BurntEnrollment {
  serverId: string;
  accountId: string;
  mode: AgentMode;
  /** Somebody of the account made it, not of the provider. */
  byClient: boolean;
  expired: boolean;
}

/** Takes a token for good, in one statement: of two that bring it at once, one gets null. */
export async function burnEnrollment(
  queries: Queries,
  tokenHash: Buffer,
): Promise<BurntEnrollment | null> {
  const rows = await queries.query<BurntEnrollment>(
    `with taken as (delete from enrollments where token_hash = $1 returning *),
       noted as (insert into burnt_enrollments (token_hash, server_id)
                 select token_hash, server_id from taken)
     select t.server_id as "serverId", s.account_id as "accountId", t.mode,
       p.role = 'client' as "byClient", t.expires_at <= now() as expired
     from taken t join servers s on s.id = t.server_id join people p on p.id = t.created_by`,
    [tokenHash],
  );
  return rows[0] ?? null;
}

/** The server a token was used for, when it was. */
export async function findBurntToken(
  queries: Queries,
  tokenHash: Buffer,
): Promise<{ serverId: string; accountId: string } | null> {
  const rows = await queries.query<{ serverId: string; accountId: string }>(
    `select b.server_id as "serverId", s.account_id as "accountId"
     from burnt_enrollments b join servers s on s.id = b.server_id where b.token_hash = $1`,
    [tokenHash],
  );
  return rows[0] ?? null;
}

/** Envelopes of a chain, oldest first; `accountId` null is the operator's root. */
export async function readTrustChain(
  queries: Queries,
  accountId: string | null,
): Promise<{ digest: string; envelope: Buffer }[]> {
  return accountId === null
    ? queries.query(`select digest, envelope from documents where kind = 'root' order by version`)
    : queries.query(
        `select digest, envelope from documents where kind = 'account-keys' and account_id = $1
         order by version`,
        [accountId],
      );
}
