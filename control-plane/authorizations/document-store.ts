import type { Queries } from '../database/database.ts';

export type StoredKind = 'root' | 'lead' | 'engineer' | 'account-keys';

export interface StoredDocument {
  digest: string;
  kind: StoredKind;
  version: number | null;
  personId: string | null;
  expiresAt: Date | null;
  envelope: Buffer;
}

const COLUMNS = `digest, kind, version, person_id as "personId", expires_at as "expiresAt", envelope`;

export async function insertDocument(
  queries: Queries,
  document: StoredDocument & { accountId: string | null },
): Promise<void> {
  await queries.query(
    `insert into documents (digest, kind, account_id, person_id, version, expires_at, envelope)
     values ($1, $2, $3, $4, $5, $6, $7)`,
    [
      document.digest,
      document.kind,
      document.accountId,
      document.personId,
      document.version,
      document.expiresAt,
      document.envelope,
    ],
  );
}

export async function findDocument(
  queries: Queries,
  digest: string,
): Promise<StoredDocument | null> {
  const rows = await queries.query<StoredDocument & Record<string, unknown>>(
    `select ${COLUMNS} from documents where digest = $1`,
    [digest],
  );
  return rows[0] ?? null;
}

/** Oldest first; `accountId` null is the operator's root. */
export function readDocumentChain(
  queries: Queries,
  accountId: string | null,
): Promise<StoredDocument[]> {
  return queries.query<StoredDocument & Record<string, unknown>>(
    `select ${COLUMNS} from documents
     where kind = case when $1::uuid is null then 'root' else 'account-keys' end
       and account_id is not distinct from $1::uuid order by version`,
    [accountId],
  );
}

/** Held until the transaction ends: of two that continue a chain, the second sees the first. */
export async function lockDocumentChain(queries: Queries, accountId: string | null): Promise<void> {
  await queries.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
    `documents ${accountId ?? 'root'}`,
  ]);
}

/** Lead and engineer documents that have not expired, whoever signed them; leads first. */
export function readUnexpiredCertifications(queries: Queries, at: Date): Promise<StoredDocument[]> {
  return queries.query<StoredDocument & Record<string, unknown>>(
    `select ${COLUMNS} from documents
     where kind in ('lead', 'engineer') and expires_at > $1 order by kind desc, created_at, digest`,
    [at],
  );
}
