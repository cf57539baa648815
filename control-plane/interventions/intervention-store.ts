import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';

export interface Intervention {
  id: string;
  number: number;
  accountId: string;
  serverId: string;
  serverName: string;
  ticket: string;
  description: string;
  openedAt: Date;
  closedAt: Date | null;
  jobs: number;
}

const SELECT = `select i.id, i.number, i.account_id as "accountId", i.server_id as "serverId",
    s.name as "serverName", i.ticket, i.description, i.opened_at as "openedAt",
    i.closed_at as "closedAt", i.next_job - 1 as jobs
  from interventions i join servers s on s.id = i.server_id`;

export interface NewIntervention {
  id: string;
  accountId: string;
  serverId: string;
  ticket: string;
  description: string;
  openedBy: string | null;
}

/** Held until the transaction ends: of two that open one for the same ticket, the second finds the first. */
export async function lockTicket(
  queries: Queries,
  serverId: string,
  ticket: string,
): Promise<void> {
  await queries.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
    `intervention ${serverId} ${ticket}`,
  ]);
}

export async function insertIntervention(queries: Queries, row: NewIntervention): Promise<void> {
  await queries.query(
    `insert into interventions (id, account_id, server_id, ticket, description, opened_by)
     values ($1, $2, $3, $4, $5, $6)`,
    [row.id, row.accountId, row.serverId, row.ticket, row.description, row.openedBy],
  );
}

export async function findIntervention(queries: Queries, id: string): Promise<Intervention | null> {
  const rows = await queries.query<Intervention>(`${SELECT} where i.id = $1`, [id]);
  return rows[0] ?? null;
}

export async function findOpenIntervention(
  queries: Queries,
  serverId: string,
  ticket: string,
): Promise<Intervention | null> {
  const rows = await queries.query<Intervention>(
    `${SELECT} where i.server_id = $1 and i.ticket = $2 and i.closed_at is null
     order by i.number desc limit 1`,
    [serverId, ticket],
  );
  return rows[0] ?? null;
}

export interface InterventionFilter {
  serverId: string | null;
  state: 'open' | 'closed' | null;
}

/** Newest first; `before` is the last number of the page before. */
export function listInterventions(
  queries: Queries,
  scope: string | null,
  filter: InterventionFilter,
  before: number | null,
  limit: number,
): Promise<Intervention[]> {
  return queries.query<Intervention>(
    `${SELECT}
     where ($1::uuid is null or i.account_id = $1) and ($2::uuid is null or i.server_id = $2)
       and ($3::text is null or (i.closed_at is null) = ($3 = 'open'))
       and ($4::bigint is null or i.number < $4)
     order by i.number desc limit $5`,
    [scope, filter.serverId, filter.state, before, limit],
  );
}

/** By number, which is what people say; else by id or its end. */
export function interventionCandidates(
  queries: Queries,
  scope: string | null,
  reference: string,
): Promise<Intervention[]> {
  const { text, suffix } = referenceValues(reference);
  const number = /^\d{1,15}$/.test(reference) ? Number(reference) : null;
  return queries.query<Intervention>(
    `${SELECT}
     where ($1::uuid is null or i.account_id = $1)
       and case when $2::bigint is not null then i.number = $2
                else i.id::text = $3 or i.id::text like $4 end
     order by i.id::text = $3 desc, i.number limit ${REFERENCE_LIMIT}`,
    [scope, number, text, suffix],
  );
}

/** Null when it was closed before, or has jobs that have not ended: their number is then not zero. */
export async function closeIntervention(
  queries: Queries,
  id: string,
): Promise<{ closed: boolean; openJobs: number }> {
  await queries.query('select from interventions where id = $1 for update', [id]);
  const jobs = await queries.query<{ count: number }>(
    'select count(*) as count from jobs where intervention_id = $1 and ended_at is null',
    [id],
  );
  const openJobs = jobs[0]!.count;
  if (openJobs > 0) return { closed: false, openJobs };
  const rows = await queries.query(
    'update interventions set closed_at = now() where id = $1 and closed_at is null returning id',
    [id],
  );
  return { closed: rows.length > 0, openJobs };
}
