import type { Queries } from '../database/database.ts';

export type RevocationKind = 'grant' | 'key' | 'credential';

export interface Revocation {
  kind: RevocationKind;
  /** Id of a grant or a credential, or fingerprint of a key. */
  subject: string;
  /** The running step may end first. */
  afterStep: boolean;
  /** The signed document; null where only the control plane's word says so. */
  envelope: Buffer | null;
}

export interface NewRevocation extends Revocation {
  /** Null concerns every account. */
  accountId: string | null;
  reason: string;
  revokedBy: string | null;
  /** When nobody needs to be told any more. */
  expiresAt: Date | null;
}

/**
 * What is revoked stays so. Revoking again can only make it stricter (at once instead of after the step),
 * or add the signature that was missing. Returns whether anything changed.
 */
export async function storeRevocation(queries: Queries, row: NewRevocation): Promise<boolean> {
  const rows = await queries.query(
    `insert into revocations
       (subject, account_id, kind, after_step, reason, envelope, revoked_by, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (kind, subject) do update set
       after_step = revocations.after_step and excluded.after_step,
       envelope = coalesce(revocations.envelope, excluded.envelope)
     where (revocations.after_step and not excluded.after_step)
       or (revocations.envelope is null and excluded.envelope is not null)
     returning subject`,
    [
      row.subject,
      row.accountId,
      row.kind,
      row.afterStep,
      row.reason,
      row.envelope,
      row.revokedBy,
      row.expiresAt,
    ],
  );
  return rows.length > 0;
}

/**
 * All that agents of an account must be told: what was revoked for it and for everybody, oldest first.
 * The whole list, each time.
 */
export function revocationsFor(queries: Queries, accountId: string): Promise<Revocation[]> {
  return queries.query<Revocation & Record<string, unknown>>(
    `select kind, subject, after_step as "afterStep", envelope from revocations
     where (account_id = $1 or account_id is null) and (expires_at is null or expires_at > now())
     order by revoked_at, kind, subject`,
    [accountId],
  );
}

/** Fingerprints of all revoked keys. */
export async function revokedKeys(queries: Queries): Promise<Set<string>> {
  const rows = await queries.query<{ subject: string }>(
    `select subject from revocations where kind = 'key'`,
  );
  return new Set(rows.map((row) => row.subject));
}

/** Accounts that have agents to tell. */
export async function accountsWithAgents(queries: Queries): Promise<string[]> {
  const rows = await queries.query<{ id: string }>(
    'select distinct account_id as id from agents where replaced_at is null',
  );
  return rows.map((row) => row.id);
}

/** Whether these keys belong to agents of the account. */
export async function agentKeysOf(
  queries: Queries,
  accountId: string,
  fingerprints: readonly string[],
): Promise<Set<string>> {
  const rows = await queries.query<{ key: string }>(
    'select key_fingerprint as key from agents where account_id = $1 and key_fingerprint = any($2)',
    [accountId, fingerprints],
  );
  return new Set(rows.map((row) => row.key));
}
