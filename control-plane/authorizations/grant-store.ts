import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';
import type { Attestation, Grant } from '../../proto/documents/kinds/grant.ts';

export type GrantState = 'valid' | 'not_yet_valid' | 'expired' | 'revoked';

/** A grant, or an attestation, which has the same fields. */
export interface StoredGrant {
  id: string;
  number: number;
  kind: 'grant' | 'attestation';
  accountId: string;
  ticket: string;
  digest: string;
  servers: { id: string; name: string }[];
  content: Grant | Attestation;
  notBefore: Date;
  expiresAt: Date;
  state: GrantState;
  revokedAt: Date | null;
  signedBy: string;
  createdAt: Date;
  envelope: Buffer;
}

const STATE = `case when r.subject is not null then 'revoked'
       when g.expires_at <= now() then 'expired'
       when g.not_before > now() then 'not_yet_valid' else 'valid' end`;

const SELECT = `select g.id, g.number, g.kind, g.account_id as "accountId", g.ticket, g.digest, g.content,
    g.not_before as "notBefore", g.expires_at as "expiresAt", g.signed_by as "signedBy",
    g.created_at as "createdAt", g.envelope, r.revoked_at as "revokedAt", ${STATE} as state,
    (select coalesce(json_agg(json_build_object('id', s.id, 'name', s.name) order by s.name), '[]')
     from grant_servers gs join servers s on s.id = gs.server_id where gs.grant_id = g.id) as servers
  from grants g left join revocations r on r.kind = 'grant' and r.subject = g.id::text`;

type GrantRow = StoredGrant & Record<string, unknown>;

export interface NewGrant {
  kind: 'grant' | 'attestation';
  content: Grant | Attestation;
  digest: string;
  signedBy: string;
  envelope: Uint8Array;
}

/** False when the id is used. */
export async function insertGrant(queries: Queries, grant: NewGrant): Promise<boolean> {
  const { content } = grant;
  const rows = await queries.query(
    `insert into grants
       (id, account_id, kind, ticket, digest, envelope, content, signed_by, not_before, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, to_timestamp($9), to_timestamp($10))
     on conflict (id) do nothing returning id`,
    [
      content.id,
      content.account,
      grant.kind,
      content.ticket,
      grant.digest,
      Buffer.from(grant.envelope),
      JSON.stringify(content),
      grant.signedBy,
      content.notBefore,
      content.expiresAt,
    ],
  );
  if (rows.length === 0) return false;
  await queries.query(
    'insert into grant_servers (grant_id, server_id) select $1, unnest($2::uuid[])',
    [content.id, content.servers.map((server) => server.id)],
  );
  return true;
}

/** By the digest that an order names. */
export async function findGrantByDigest(
  queries: Queries,
  digest: string,
): Promise<StoredGrant | null> {
  const rows = await queries.query<GrantRow>(`${SELECT} where g.digest = $1`, [digest]);
  return rows[0] ?? null;
}

export interface GrantFilter {
  serverId: string | null;
  state: GrantState | null;
}

/** Newest first; `before` is the last number of the page before. */
export function listGrants(
  queries: Queries,
  scope: string | null,
  filter: GrantFilter,
  before: number | null,
  limit: number,
): Promise<StoredGrant[]> {
  return queries.query<GrantRow>(
    `${SELECT}
     where ($1::uuid is null or g.account_id = $1)
       and ($2::uuid is null
            or exists (select from grant_servers x where x.grant_id = g.id and x.server_id = $2))
       and ($3::text is null or ${STATE} = $3) and ($4::bigint is null or g.number < $4)
     order by g.number desc limit $5`,
    [scope, filter.serverId, filter.state, before, limit],
  );
}

/** By number, also as `G-301`; else by id or its end. */
export function grantCandidates(
  queries: Queries,
  scope: string | null,
  reference: string,
): Promise<StoredGrant[]> {
  const { text, suffix } = referenceValues(reference);
  return queries.query<GrantRow>(
    `${SELECT}
     where ($1::uuid is null or g.account_id = $1)
       and (g.number = $2::bigint or g.id::text = $3 or g.id::text like $4)
     order by coalesce(g.number = $2, false) desc, g.id::text = $3 desc, g.number limit ${REFERENCE_LIMIT}`,
    [scope, grantNumber(reference), text, suffix],
  );
}

/** What people say: `G-301`, `g-301` or `301`. */
export function grantNumber(reference: string): number | null {
  const digits = /^(?:[Gg]-)?(\d{1,15})$/.exec(reference)?.[1];
  return digits === undefined ? null : Number(digits);
}
