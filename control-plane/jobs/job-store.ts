import type { Queries } from '../database/database.ts';
import { REFERENCE_LIMIT, referenceValues } from '../database/reference.ts';
import type { JobState } from './job-states.ts';

export type JobMode = 'plan' | 'apply' | 'undo';
export type CancelMode = 'now' | 'after_step';

/** A job as people see it; its documents are read apart. */
export interface Job {
  id: string;
  accountId: string;
  interventionId: string;
  interventionNumber: number;
  number: number;
  serverId: string;
  serverName: string;
  agentId: string;
  grantId: string | null;
  action: string;
  actionVersion: number;
  mode: JobMode;
  parameters: Record<string, unknown>;
  orderDigest: string;
  state: JobState;
  reason: string | null;
  detail: string;
  orderedBy: string | null;
  /** Who answers for the job: whoever ordered it, or a lead who took it over. */
  owner: string | null;
  /** Names of those who signed the order, the first one first. */
  signedBy: string[];
  engineersNeeded: number;
  createdAt: Date;
  startBefore: Date;
  deliveredAt: Date | null;
  startedAt: Date | null;
  endedAt: Date | null;
  cancelRequested: CancelMode | null;
  exitStatus: number | null;
  result: unknown;
  planDigest: string | null;
  undoesJobId: string | null;
  /** The undo that took it back or is about to; one that failed has not, and may be ordered again. */
  undoneByJobId: string | null;
  logOffset: number;
  logLines: number;
  logLength: number | null;
  logDigest: string | null;
  logVerified: boolean | null;
}

const SELECT = `select j.id, j.account_id as "accountId", j.intervention_id as "interventionId",
    i.number as "interventionNumber", j.number, j.server_id as "serverId", s.name as "serverName",
    j.agent_id as "agentId", j.grant_id as "grantId", j.action, j.action_version as "actionVersion",
    j.mode, j.parameters, j.order_digest as "orderDigest", j.state, j.reason, j.detail,
    p.name as "orderedBy", o.name as owner, j.engineers_needed as "engineersNeeded",
    array(select q.name from job_signatures g join people q on q.id = g.person_id
      where g.job_id = j.id order by g.signed_at, q.id) as "signedBy", j.created_at as "createdAt", j.start_before as "startBefore",
    j.delivered_at as "deliveredAt", j.started_at as "startedAt", j.ended_at as "endedAt",
    j.cancel_requested as "cancelRequested", j.exit_status as "exitStatus", j.result,
    j.plan_digest as "planDigest", j.undoes_job_id as "undoesJobId",
    (select u.id from jobs u where u.undoes_job_id = j.id
       and u.state in ('proposed', 'queued', 'delivered', 'running', 'succeeded') order by u.created_at desc limit 1
    ) as "undoneByJobId",
    j.log_offset as "logOffset", j.log_lines as "logLines", j.log_length as "logLength",
    j.log_digest as "logDigest", j.log_verified as "logVerified"
  from jobs j join interventions i on i.id = j.intervention_id join servers s on s.id = j.server_id
    left join people p on p.id = j.ordered_by left join people o on o.id = j.owner_id`;

export async function findJob(queries: Queries, id: string): Promise<Job | null> {
  const rows = await queries.query<Job>(`${SELECT} where j.id = $1`, [id]);
  return rows[0] ?? null;
}

/** Jobs that `reference` may mean: `1042.3`, `1042/3`, an id or its end. */
export function jobCandidates(
  queries: Queries,
  scope: string | null,
  reference: string,
): Promise<Job[]> {
  const numbers = /^(\d{1,15})[./](\d{1,9})$/.exec(reference);
  if (numbers !== null) {
    return queries.query<Job>(
      `${SELECT} where ($1::uuid is null or j.account_id = $1) and i.number = $2 and j.number = $3`,
      [scope, Number(numbers[1]), Number(numbers[2])],
    );
  }
  const { text, suffix } = referenceValues(reference);
  return queries.query<Job>(
    `${SELECT} where ($1::uuid is null or j.account_id = $1) and (j.id::text = $2 or j.id::text like $3)
     order by j.id::text = $2 desc limit ${REFERENCE_LIMIT}`,
    [scope, text, suffix],
  );
}

export interface JobFilter {
  serverId: string | null;
  interventionId: string | null;
  state: JobState | null;
}

/** Newest first. `before` is time and id of the last one of the page before. */
export function listJobs(
  queries: Queries,
  scope: string | null,
  filter: JobFilter,
  before: { createdAt: Date; id: string } | null,
  limit: number,
): Promise<Job[]> {
  return queries.query<Job>(
    `${SELECT}
     where ($1::uuid is null or j.account_id = $1) and ($2::uuid is null or j.server_id = $2)
       and ($3::uuid is null or j.intervention_id = $3) and ($4::text is null or j.state = $4)
       and ($5::timestamptz is null
         or (date_trunc('milliseconds', j.created_at), j.id) < ($5, $6::uuid))
     order by date_trunc('milliseconds', j.created_at) desc, j.id desc limit $7`,
    [
      scope,
      filter.serverId,
      filter.interventionId,
      filter.state,
      before?.createdAt ?? null,
      before?.id ?? null,
      limit,
    ],
  );
}

export interface NewJob {
  id: string;
  accountId: string;
  interventionId: string;
  serverId: string;
  agentId: string;
  grantId: string | null;
  action: string;
  actionVersion: number;
  mode: JobMode;
  parameters: Record<string, unknown>;
  orderEnvelope: Uint8Array;
  orderDigest: string;
  planJobId: string | null;
  undoesJobId: string | null;
  orderedBy: string;
  state: 'proposed' | 'queued';
  engineersNeeded: number;
  /** Ids of people. */
  signedBy: readonly string[];
  startBefore: Date;
  /** Actor of its first event. */
  actor: string;
}

/** Stores a job under its intervention's next number, with its first event; returns the number. */
export async function insertJob(queries: Queries, job: NewJob): Promise<number> {
  const rows = await queries.query<{ number: number }>(
    `with numbered as (
       update interventions set next_job = next_job + 1 where id = $3 returning next_job - 1 as number),
     made as (
       insert into jobs (id, account_id, intervention_id, number, server_id, agent_id, grant_id, action,
         action_version, mode, parameters, order_envelope, order_digest, plan_job_id, undoes_job_id,
         ordered_by, owner_id, start_before, state, engineers_needed, next_event)
       select $1, $2, $3, number, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $18, $19, 2
       from numbered returning id, number, state),
     signed as (
       insert into job_signatures (job_id, person_id)
       select id, person from made, unnest($20::uuid[]) as person),
     told as (
       insert into job_events (job_id, sequence, kind, actor, content)
       select id, 1, 'state', $17, jsonb_build_object('to', state) from made)
     select number from made`,
    [
      job.id,
      job.accountId,
      job.interventionId,
      job.serverId,
      job.agentId,
      job.grantId,
      job.action,
      job.actionVersion,
      job.mode,
      JSON.stringify(job.parameters),
      Buffer.from(job.orderEnvelope),
      job.orderDigest,
      job.planJobId,
      job.undoesJobId,
      job.orderedBy,
      job.startBefore,
      job.actor,
      job.state,
      job.engineersNeeded,
      job.signedBy,
    ],
  );
  return rows[0]!.number;
}

/** What is needed to judge what an agent says of a job; locked until the transaction ends. */
export interface HeldJob {
  id: string;
  accountId: string;
  interventionId: string;
  serverId: string;
  agentId: string;
  action: string;
  mode: JobMode;
  orderDigest: string;
  state: JobState;
  day: string;
  hasAccepted: boolean;
  hasFinal: boolean;
  nextSequence: number;
  /** Of the stored journal. */
  journalBytes: number;
  logOffset: number;
  logLines: number;
  logLength: number | null;
}

export async function lockJob(queries: Queries, id: string): Promise<HeldJob | null> {
  const rows = await queries.query<HeldJob>(
    `select j.id, j.account_id as "accountId", j.intervention_id as "interventionId",
       j.server_id as "serverId", j.agent_id as "agentId", j.action, j.mode,
       j.order_digest as "orderDigest", j.state,
       to_char(j.created_at at time zone 'utc', 'YYYY-MM-DD') as day,
       j.accepted_receipt is not null as "hasAccepted", j.final_receipt is not null as "hasFinal",
       j.next_sequence as "nextSequence", j.journal_bytes as "journalBytes", j.log_offset as "logOffset", j.log_lines as "logLines",
       j.log_length as "logLength"
     from jobs j where j.id = $1 for update`,
    [id],
  );
  return rows[0] ?? null;
}

export async function setOwner(queries: Queries, id: string, personId: string): Promise<void> {
  await queries.query('update jobs set owner_id = $2 where id = $1', [id, personId]);
}

/** A stronger wish replaces a weaker one, never the other way. */
export async function requestCancel(queries: Queries, id: string, mode: CancelMode): Promise<void> {
  await queries.query(
    `update jobs set cancel_requested = case when cancel_requested = 'now' then 'now' else $2 end
     where id = $1`,
    [id, mode],
  );
}

export interface JobDocuments {
  order: Buffer;
  plan: Buffer | null;
  accepted: Buffer | null;
  final: Buffer | null;
  agentKey: Record<string, unknown>;
}

/** The plan of an apply job is the one that its plan job made. */
export async function readJobDocuments(queries: Queries, id: string): Promise<JobDocuments> {
  const rows = await queries.query<JobDocuments>(
    `select j.order_envelope as "order", coalesce(j.plan_envelope, p.plan_envelope) as plan,
       j.accepted_receipt as accepted, j.final_receipt as final, a.key as "agentKey"
     from jobs j join agents a on a.id = j.agent_id left join jobs p on p.id = j.plan_job_id where j.id = $1`,
    [id],
  );
  return rows[0]!;
}
