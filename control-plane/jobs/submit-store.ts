import type { Attestation, Grant } from '../../proto/documents/kinds/grant.ts';
import type { Queries } from '../database/database.ts';

/** A server and its current agent, as an order names them. */
export interface OrderTarget {
  serverId: string;
  serverName: string;
  accountId: string;
  agentId: string | null;
  agentKeyFingerprint: string | null;
  agentQuarantined: boolean;
}

export async function findOrderTarget(
  queries: Queries,
  scope: string | null,
  serverId: string,
): Promise<OrderTarget | null> {
  const rows = await queries.query<OrderTarget>(
    `select s.id as "serverId", s.name as "serverName", s.account_id as "accountId", a.id as "agentId",
       a.key_fingerprint as "agentKeyFingerprint", a.quarantined_at is not null as "agentQuarantined"
     from servers s left join agents a on a.server_id = s.id and a.replaced_at is null
     where s.id = $1 and ($2::uuid is null or s.account_id = $2)`,
    [serverId, scope],
  );
  return rows[0] ?? null;
}

export interface OrderAuthorization {
  id: string;
  accountId: string;
  kind: 'grant' | 'attestation';
  ticket: string;
  content: Grant | Attestation;
  envelope: Buffer;
}

export async function findAuthorization(
  queries: Queries,
  digest: string,
): Promise<OrderAuthorization | null> {
  const rows = await queries.query<OrderAuthorization & Record<string, unknown>>(
    'select id, account_id as "accountId", kind, ticket, content, envelope from grants where digest = $1',
    [digest],
  );
  return rows[0] ?? null;
}

/** The newest job of the server that made a plan with this digest. */
export async function findPlanJob(
  queries: Queries,
  serverId: string,
  planDigest: string,
): Promise<{ id: string; ticket: string; envelope: Buffer } | null> {
  const rows = await queries.query<{ id: string; ticket: string; envelope: Buffer }>(
    `select j.id, i.ticket, j.plan_envelope as envelope
     from jobs j join interventions i on i.id = j.intervention_id
     where j.plan_digest = $2 and j.server_id = $1 order by j.created_at desc limit 1`,
    [serverId, planDigest],
  );
  return rows[0] ?? null;
}

/** A job of the server, to be undone. */
export async function findUndoneJob(
  queries: Queries,
  serverId: string,
  jobId: string,
): Promise<{ id: string; ticket: string } | null> {
  const rows = await queries.query<{ id: string; ticket: string }>(
    `select j.id, i.ticket from jobs j join interventions i on i.id = j.intervention_id
     where j.id = $2 and j.server_id = $1`,
    [serverId, jobId],
  );
  return rows[0] ?? null;
}

/** The ticket of the server's newest open intervention. */
export async function findOpenTicket(queries: Queries, serverId: string): Promise<string | null> {
  const rows = await queries.query<{ ticket: string }>(
    `select ticket from interventions where server_id = $1 and closed_at is null
     order by number desc limit 1`,
    [serverId],
  );
  return rows[0]?.ticket ?? null;
}
