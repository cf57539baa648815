import type { Queries } from '../database/database.ts';

export interface PackJob {
  id: string;
  number: number;
  state: string;
  agentKey: Record<string, unknown>;
  order: Buffer;
  plan: Buffer | null;
  accepted: Buffer | null;
  final: Buffer | null;
  logDigest: string | null;
  createdAt: Date;
}

/** The plan of an apply job is the one that its plan job made. */
export function packJobs(queries: Queries, interventionId: string): Promise<PackJob[]> {
  return queries.query(
    `select j.id, j.number, j.state, a.key as "agentKey", j.order_envelope as "order",
       coalesce(j.plan_envelope, p.plan_envelope) as plan, j.accepted_receipt as accepted,
       j.final_receipt as final, j.log_digest as "logDigest", j.created_at as "createdAt"
     from jobs j join agents a on a.id = j.agent_id left join jobs p on p.id = j.plan_job_id
     where j.intervention_id = $1 order by j.number`,
    [interventionId],
  );
}

export function packGrants(
  queries: Queries,
  interventionId: string,
): Promise<{ id: string; kind: string; envelope: Buffer }[]> {
  return queries.query(
    `select g.id, g.kind, g.envelope from grants g
     where g.id in (select grant_id from jobs where intervention_id = $1) order by g.number`,
    [interventionId],
  );
}

/** Lead and engineer documents that were valid at some time between two times. */
export function certificationsBetween(
  queries: Queries,
  from: Date,
  to: Date,
): Promise<{ kind: 'lead' | 'engineer'; envelope: Buffer }[]> {
  return queries.query(
    `select kind, envelope from documents
     where kind in ('lead', 'engineer') and created_at <= $2 and expires_at >= $1
     order by kind desc, created_at`,
    [from, to],
  );
}

/** Envelopes of a chain, oldest first; `accountId` null is the operator's root. */
export async function chainEnvelopes(
  queries: Queries,
  accountId: string | null,
): Promise<Buffer[]> {
  const rows = await queries.query<{ envelope: Buffer }>(
    `select envelope from documents
     where kind = case when $1::uuid is null then 'root' else 'account-keys' end
       and account_id is not distinct from $1::uuid order by version`,
    [accountId],
  );
  return rows.map((row) => row.envelope);
}

/** Signed revocations of these grants and keys. */
export async function revocationEnvelopes(
  queries: Queries,
  subjects: readonly string[],
): Promise<Buffer[]> {
  const rows = await queries.query<{ envelope: Buffer }>(
    `select distinct envelope from revocations where subject = any($1) and envelope is not null`,
    [subjects],
  );
  return rows.map((row) => row.envelope);
}
