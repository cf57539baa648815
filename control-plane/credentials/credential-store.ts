import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';

export type CredentialState = 'usable' | 'withdrawn' | 'ended' | 'unopened' | 'opened';

/** A secret that somebody may know of; what it is lies sealed beside, and is read apart. */
export interface Credential {
  id: string;
  number: number;
  /** By a client to an agent, or by a job for the client. */
  kind: 'given' | 'made';
  accountId: string;
  serverId: string;
  serverName: string;
  /** The action's input, or what the job calls it. */
  name: string;
  action: string;
  /** Given: the grant it is good for. */
  grantId: string | null;
  grantNumber: number | null;
  envelope: Buffer | null;
  createdBy: string | null;
  createdAt: Date;
  /** Made: by this job. */
  jobId: string | null;
  jobName: string | null;
  interventionId: string | null;
  /** Given: orders that name it. */
  orders: number;
  digest: string;
  /** `ended`: the grant is over, and it with it. */
  state: CredentialState;
  withdrawnAt: Date | null;
  openedAt: Date | null;
  openedBy: string | null;
}

/** What was given can be used no more. Of rows `c`, `r` for its own revocation, `g` for its grant. */
const ENDED = `g.expires_at <= now()
  or exists (select from revocations gr where gr.kind = 'grant' and gr.subject = g.id::text)`;
const STATE = `case when c.kind = 'made' then case when c.opened_at is null then 'unopened' else 'opened' end
  when r.subject is not null then 'withdrawn' when ${ENDED} then 'ended' else 'usable' end`;
const FROM = `credentials c join servers s on s.id = c.server_id left join grants g on g.id = c.grant_id
  left join jobs j on j.id = c.job_id left join interventions i on i.id = j.intervention_id
  left join people p on p.id = c.created_by left join people o on o.id = c.opened_by
  left join revocations r on r.kind = 'credential' and r.subject = c.id::text`;
const SELECT = `select c.id, c.number, c.kind, c.account_id as "accountId", c.server_id as "serverId",
    s.name as "serverName", c.name, c.action, c.grant_id as "grantId", g.number as "grantNumber", c.envelope,
    p.name as "createdBy", c.created_at as "createdAt", c.job_id as "jobId",
    i.number || '/' || j.number as "jobName", i.id as "interventionId",
    (select count(*)::integer from job_credentials jc where jc.credential_id = c.id) as orders,
    c.digest, ${STATE} as state, r.revoked_at as "withdrawnAt", c.opened_at as "openedAt", o.name as "openedBy"
  from ${FROM}`;

type CredentialRow = Credential & Record<string, unknown>;

export interface CredentialFilter {
  serverId: string | null;
  jobId: string | null;
}

/** Newest first; `before` is the last number of the page before. */
export function listCredentials(
  queries: Queries,
  scope: string | null,
  filter: CredentialFilter,
  before: number | null,
  limit: number,
): Promise<Credential[]> {
  return queries.query<CredentialRow>(
    `${SELECT}
     where ($1::uuid is null or c.account_id = $1) and ($2::uuid is null or c.server_id = $2)
       and ($3::uuid is null or c.job_id = $3
            or exists (select from job_credentials x where x.credential_id = c.id and x.job_id = $3))
       and ($4::bigint is null or c.number < $4)
     order by c.number desc limit $5`,
    [scope, filter.serverId, filter.jobId, before, limit],
  );
}

/** By number, also as `C-101`; else by id or its end. */
export function credentialCandidates(
  queries: Queries,
  scope: string | null,
  reference: string,
): Promise<Credential[]> {
  const { text, suffix } = referenceValues(reference);
  const number = credentialNumber(reference);
  return queries.query<CredentialRow>(
    `${SELECT}
     where ($1::uuid is null or c.account_id = $1)
       and (c.number = $2::bigint or c.id::text = $3 or c.id::text like $4)
     order by coalesce(c.number = $2, false) desc, c.id::text = $3 desc, c.number limit ${REFERENCE_LIMIT}`,
    [scope, number, text, suffix],
  );
}

/** What people say: `C-101`, `c-101` or `101`. */
export function credentialNumber(reference: string): number | null {
  const digits = /^(?:[Cc]-)?(\d{1,15})$/.exec(reference)?.[1];
  return digits === undefined ? null : Number(digits);
}

export async function findGivenByDigest(
  queries: Queries,
  digest: string,
): Promise<Credential | null> {
  const rows = await queries.query<CredentialRow>(
    `${SELECT} where c.kind = 'given' and c.digest = $1`,
    [digest],
  );
  return rows[0] ?? null;
}

/** What the jobs of an intervention made, and what their orders name. */
export function credentialsOfIntervention(
  queries: Queries,
  interventionId: string,
): Promise<Credential[]> {
  return queries.query<CredentialRow>(
    `${SELECT}
     where i.id = $1 or exists (select from job_credentials x join jobs xj on xj.id = x.job_id
       where x.credential_id = c.id and xj.intervention_id = $1)
     order by c.number`,
    [interventionId],
  );
}

export interface NewGivenCredential {
  id: string;
  accountId: string;
  serverId: string;
  grantId: string;
  name: string;
  action: string;
  envelope: Uint8Array;
  digest: string;
  sealed: Uint8Array;
  createdBy: string;
}

/** False when the id is used. */
export async function insertGiven(queries: Queries, given: NewGivenCredential): Promise<boolean> {
  const rows = await queries.query(
    `insert into credentials (id, account_id, server_id, kind, name, action, grant_id, envelope, digest,
       sealed, created_by)
     values ($1, $2, $3, 'given', $4, $5, $6, $7, $8, $9, $10) on conflict (id) do nothing returning id`,
    [
      given.id,
      given.accountId,
      given.serverId,
      given.name,
      given.action,
      given.grantId,
      Buffer.from(given.envelope),
      given.digest,
      Buffer.from(given.sealed),
      given.createdBy,
    ],
  );
  return rows.length > 0;
}

export interface NewMadeCredential {
  name: string;
  digest: string;
  sealed: Buffer;
}

/** Stores what a job made. */
export async function insertMade(
  queries: Queries,
  job: { id: string; accountId: string; serverId: string; action: string },
  made: readonly NewMadeCredential[],
): Promise<void> {
  await queries.query(
    `insert into credentials (id, account_id, server_id, kind, name, action, job_id, digest, sealed)
     select gen_random_uuid(), $1, $2, 'made', m.name, $3, $4, m.digest, m.sealed
     from unnest($5::text[], $6::text[], $7::bytea[]) as m (name, digest, sealed)`,
    [
      job.accountId,
      job.serverId,
      job.action,
      job.id,
      made.map(({ name }) => name),
      made.map(({ digest }) => digest),
      made.map(({ sealed }) => sealed),
    ],
  );
}

/** The age file; null when it is not kept any more. */
export async function readSealed(queries: Queries, id: string): Promise<Buffer | null> {
  const rows = await queries.query<{ sealed: Buffer | null }>(
    'select sealed from credentials where id = $1',
    [id],
  );
  return rows[0]?.sealed ?? null;
}

/** Keeps the secret no longer. False when it was opened before. */
export async function setOpened(queries: Queries, id: string, personId: string): Promise<boolean> {
  const rows = await queries.query(
    `update credentials set opened_at = now(), opened_by = $2, sealed = null
     where id = $1 and kind = 'made' and opened_at is null returning id`,
    [id, personId],
  );
  return rows.length > 0;
}

/** Keeps the secrets no longer that can be used no more: withdrawn, or their grant is over. Returns how many. */
export async function forgetUnusable(queries: Queries): Promise<number> {
  const rows = await queries.query(
    `update credentials set sealed = null
     where id in (select c.id from ${FROM} where c.kind = 'given' and c.sealed is not null
       and (r.subject is not null or ${ENDED}))
     returning id`,
  );
  return rows.length;
}

/** What an order names: where it can be sent from, or why it cannot. */
export interface NamedCredential {
  id: string;
  digest: string;
  number: number;
  accountId: string;
  state: CredentialState;
  /** Of all that is sent of it. */
  bytes: number;
}

export function findNamedCredentials(
  queries: Queries,
  digests: readonly string[],
): Promise<NamedCredential[]> {
  return queries.query<NamedCredential & Record<string, unknown>>(
    `select c.id, c.digest, c.number, c.account_id as "accountId", ${STATE} as state,
       length(c.envelope) + coalesce(length(c.sealed), 0) as bytes
     from ${FROM} where c.kind = 'given' and c.digest = any($1)`,
    [digests],
  );
}

export async function linkCredentials(
  queries: Queries,
  jobId: string,
  credentialIds: readonly string[],
): Promise<void> {
  await queries.query(
    'insert into job_credentials (job_id, credential_id) select $1, unnest($2::uuid[])',
    [jobId, credentialIds],
  );
}

export interface DeliveredCredential {
  document: Buffer;
  sealed: Buffer;
}

/** What goes along with a job: only what can be used at this moment. */
export function credentialsForJob(queries: Queries, jobId: string): Promise<DeliveredCredential[]> {
  return queries.query<DeliveredCredential & Record<string, unknown>>(
    `select c.envelope as document, c.sealed
     from ${FROM} join job_credentials jc on jc.credential_id = c.id and jc.job_id = $1
     where c.kind = 'given' and c.sealed is not null and ${STATE} = 'usable' order by c.number`,
    [jobId],
  );
}
