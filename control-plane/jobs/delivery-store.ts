import type { Queries } from '../database/database.ts';
import type { CancelMode } from './job-store.ts';
import { moveJobs } from './move-job.ts';

/** All that is sent of a job but for certifications and secrets. */
export interface DeliveryRow extends Record<string, unknown> {
  id: string;
  order: Buffer;
  authorizationKind: 'grant' | 'attestation' | null;
  authorization: Buffer | null;
  plan: Buffer | null;
  /** Whether secrets that the client gave go along. */
  namesCredentials: boolean;
  auditHead: string | null;
}

const columnsOf = (job: string) => `${job}.id, ${job}.order_envelope as "order",
  (select g.kind from grants g where g.id = ${job}.grant_id) as "authorizationKind",
  (select g.envelope from grants g where g.id = ${job}.grant_id) as authorization,
  (select p.plan_envelope from jobs p where p.id = ${job}.plan_job_id) as plan,
  exists (select from job_credentials c where c.job_id = ${job}.id) as "namesCredentials",
  (select a.hash from audit_entries a where a.chain = 'intervention:' || ${job}.intervention_id
   order by a.sequence desc limit 1) as "auditHead"`;

/**
 * Takes an agent's queued jobs for delivery; each is taken once. Should the machine crash and forget it, the job
 * is queued again, and delivering it a second time is harmless.
 */
export function claimQueuedJobs(queries: Queries, agentId: string): Promise<DeliveryRow[]> {
  return moveJobs<DeliveryRow>(
    queries,
    {
      where: (at) => `j.agent_id = ${at(1)} and j.state = 'queued' and j.start_before > now()`,
      values: [agentId],
    },
    { to: 'delivered', actor: 'system' },
    { columns: columnsOf('moved'), durable: false },
  );
}

/**
 * Jobs that were sent before and of which the agent has said nothing: it may not have got them. And those that
 * ran when a backup was made that was put back since: the agent may have told their end, which is lost here.
 */
export function readUnansweredJobs(
  queries: Queries,
  agentId: string,
  known: readonly string[],
): Promise<DeliveryRow[]> {
  return queries.query<DeliveryRow>(
    `select ${columnsOf('j')} from jobs j
     where j.agent_id = $1 and j.ended_at is null and j.id <> all($2)
       and (j.state = 'delivered' or j.state = 'running' and exists (
         select from restorations r where j.created_at <= r.taken_at))
     order by j.created_at`,
    [agentId, known],
  );
}

/** What was asked to stop and still goes on, as far as this agent is concerned. */
export function readCancels(
  queries: Queries,
  agentId: string,
): Promise<{ id: string; mode: CancelMode }[]> {
  return queries.query(
    `select id, cancel_requested as mode from jobs
     where agent_id = $1 and ended_at is null and cancel_requested is not null
       and state in ('delivered', 'running')`,
    [agentId],
  );
}

export interface PositionRow {
  id: string;
  ended: boolean;
  nextSequence: number;
  logOffset: number;
}

/** How far these jobs of the agent are stored. `ended`: also the agent's last word on it is. */
export function readPositions(
  queries: Queries,
  agentId: string,
  jobIds: readonly string[],
): Promise<PositionRow[]> {
  return queries.query(
    `select id, final_receipt is not null as ended, next_sequence as "nextSequence",
       log_offset as "logOffset"
     from jobs where agent_id = $1 and id = any($2)`,
    [agentId, jobIds],
  );
}

/** Agents that somebody should look after: the safety net for wake-ups that were lost. */
export async function agentsWithWork(queries: Queries): Promise<string[]> {
  const rows = await queries.query<{ agentId: string }>(
    `select distinct agent_id as "agentId" from jobs
     where ended_at is null and (state = 'queued'
       or (cancel_requested is not null and state in ('delivered', 'running')))`,
  );
  return rows.map((row) => row.agentId);
}
