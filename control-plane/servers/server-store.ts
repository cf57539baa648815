import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';

/** What an engineer confirmed a machine to be. */
export interface ConfirmedIdentity {
  serial: string | null;
  macAddresses: string[];
  hostname: string;
}

export interface Server {
  id: string;
  name: string;
  accountId: string;
  accountName: string;
  serviceId: string | null;
  addresses: string[];
  createdAt: Date;
  identity: ConfirmedIdentity | null;
  /** Name of who confirmed it. */
  identifiedBy: string | null;
  identifiedAt: Date | null;
}

const SELECT = `select s.id, s.name, s.account_id as "accountId", a.name as "accountName",
    s.service_id as "serviceId", s.addresses, s.created_at as "createdAt", s.identity,
    p.name as "identifiedBy", s.identified_at as "identifiedAt"
  from servers s join accounts a on a.id = s.account_id left join people p on p.id = s.identified_by`;

export type NewServer = Pick<Server, 'id' | 'name' | 'accountId' | 'serviceId' | 'addresses'>;

/** False when the account has a server of that name. */
export async function insertServer(queries: Queries, server: NewServer): Promise<boolean> {
  const rows = await queries.query(
    `insert into servers (id, account_id, name, service_id, addresses) values ($1, $2, $3, $4, $5)
     on conflict (account_id, name) do nothing returning id`,
    [server.id, server.accountId, server.name, server.serviceId, server.addresses],
  );
  return rows.length > 0;
}

export async function findServer(queries: Queries, id: string): Promise<Server | null> {
  const rows = await queries.query<Server & Record<string, unknown>>(`${SELECT} where s.id = $1`, [
    id,
  ]);
  return rows[0] ?? null;
}

export async function storeIdentity(
  queries: Queries,
  id: string,
  identity: ConfirmedIdentity,
  personId: string,
): Promise<void> {
  await queries.query(
    `update servers set identity = $2, identified_by = $3, identified_at = now() where id = $1`,
    [id, JSON.stringify(identity), personId],
  );
}

/** By name, then id. `after` is the name and the id of the last one of the page before. */
export function listServers(
  queries: Queries,
  scope: string | null,
  after: { name: string; id: string } | null,
  limit: number,
): Promise<Server[]> {
  return queries.query<Server & Record<string, unknown>>(
    `${SELECT}
     where ($1::uuid is null or s.account_id = $1) and ($2::text is null or (s.name, s.id) > ($2, $3::uuid))
     order by s.name, s.id limit $4`,
    [scope, after?.name ?? null, after?.id ?? null, limit],
  );
}

/** Also finds `ACCOUNT/NAME`, for names that several accounts use. */
export function serverCandidates(
  queries: Queries,
  scope: string | null,
  reference: string,
): Promise<Server[]> {
  const { text, suffix } = referenceValues(reference);
  return queries.query<Server & Record<string, unknown>>(
    `${SELECT}
     where ($1::uuid is null or s.account_id = $1)
       and (s.id::text = $2 or s.name = $2 or a.name || '/' || s.name = $2 or s.id::text like $3)
     order by s.id::text = $2 desc, s.name = $2 desc, s.id limit ${REFERENCE_LIMIT}`,
    [scope, text, suffix],
  );
}

/** Of these ids, those that are servers of the account. */
export async function serversOfAccount(
  queries: Queries,
  accountId: string,
  ids: readonly string[],
): Promise<{ id: string; name: string }[]> {
  return queries.query('select id, name from servers where account_id = $1 and id = any($2)', [
    accountId,
    ids,
  ]);
}
