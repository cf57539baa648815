import type { Queries } from '../database/database.ts';
import type { Caller } from './caller.ts';
import type { TokenKind } from './token.ts';

export interface Token {
  id: string;
  label: string;
  createdAt: Date;
  expiresAt: Date | null;
}

const COLUMNS = 'id, label, created_at as "createdAt", expires_at as "expiresAt"';

export interface NewTokenRow {
  id: string;
  personId: string;
  kind: TokenKind;
  hash: Buffer;
  label: string;
  expiresAt: Date | null;
}

export async function insertToken(queries: Queries, token: NewTokenRow): Promise<Token> {
  const rows = await queries.query<Token>(
    `insert into tokens (id, person_id, kind, hash, label, expires_at)
     values ($1, $2, $3, $4, $5, $6) returning ${COLUMNS}`,
    [token.id, token.personId, token.kind, token.hash, token.label, token.expiresAt],
  );
  return rows[0]!;
}

/** Who holds a valid API token. */
export async function findCaller(queries: Queries, hash: Buffer): Promise<Caller | undefined> {
  const rows = await queries.query<Caller>(
    `select p.id as "personId", p.name, p.role, p.account_id as "accountId"
     from tokens t join people p on p.id = t.person_id
     where t.hash = $1 and t.kind = 'api' and t.revoked_at is null
       and (t.expires_at is null or t.expires_at > now()) and p.removed_at is null`,
    [hash],
  );
  return rows[0];
}

/** Takes an invitation for good, in one statement; whoever comes second gets null. */
export async function useInvitation(queries: Queries, hash: Buffer): Promise<string | null> {
  const rows = await queries.query<{ personId: string }>(
    `update tokens t set used_at = now()
     from people p
     where t.hash = $1 and t.kind = 'invitation' and t.used_at is null and t.revoked_at is null
       and t.expires_at > now() and p.id = t.person_id and p.removed_at is null
     returning t.person_id as "personId"`,
    [hash],
  );
  return rows[0]?.personId ?? null;
}

export function listTokens(queries: Queries, personId: string): Promise<Token[]> {
  return queries.query<Token>(
    `select ${COLUMNS} from tokens
     where person_id = $1 and kind = 'api' and revoked_at is null order by created_at, id`,
    [personId],
  );
}

export async function revokeToken(
  queries: Queries,
  personId: string,
  id: string,
): Promise<boolean> {
  const rows = await queries.query(
    `update tokens set revoked_at = now()
     where id = $2 and person_id = $1 and kind = 'api' and revoked_at is null returning id`,
    [personId, id],
  );
  return rows.length > 0;
}

/** API tokens and open invitations. */
export async function revokeTokensOf(queries: Queries, personId: string): Promise<void> {
  await queries.query(
    'update tokens set revoked_at = now() where person_id = $1 and revoked_at is null',
    [personId],
  );
}
