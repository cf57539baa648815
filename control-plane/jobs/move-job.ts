import type { Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { papersSql, papersValues, PAPERS_COUNT } from './job-papers.ts';
import type { JobPapers } from './job-papers.ts';
import { isFinal, statesBefore } from './job-states.ts';
import type { JobState } from './job-states.ts';

export interface Move {
  to: JobState;
  actor: string;
  reason?: string | null;
  detail?: string;
  /** What came with it; stored along. */
  papers?: JobPapers;
}

/** Thrown for a change that the states of a job do not allow. */
export class IllegalMoveError extends DomainError {
  constructor(jobId: string, to: JobState) {
    super('conflict', 'job_state', `Job ${jobId} cannot become ${to} from the state it is in.`);
  }
}

const OWN_PARAMETERS = 7 + PAPERS_COUNT;

/** Which jobs to move: a condition on `j`, whose parameters are counted from 1. */
export interface Selection {
  where: (parameter: (number: number) => string) => string;
  values: readonly unknown[];
}

/** Moves one job; throws IllegalMoveError when it may not. For the transaction of what caused it. */
export async function moveJob(queries: Queries, jobId: string, move: Move): Promise<void> {
  const moved = await applyMove(
    queries,
    { where: (at) => `j.id = ${at(1)}`, values: [jobId] },
    move,
    {
      columns: 'moved.id',
      lock: 'for update of j',
      durable: true,
    },
  );
  if (moved.length === 0) throw new IllegalMoveError(jobId, move.to);
}

/**
 * Moves all jobs that are selected and may go there, and returns columns of them (`moved` is the row). Those
 * that another transaction holds are passed over.
 *
 * @param options.durable false when the move may be forgotten in a crash of the machine: nobody waits for
 *   the disk then
 */
export function moveJobs<Row extends Record<string, unknown>>(
  queries: Queries,
  selection: Selection,
  move: Move,
  options: { columns: string; durable: boolean },
): Promise<Row[]> {
  return applyMove<Row>(queries, selection, move, {
    ...options,
    lock: 'for update of j skip locked',
  });
}

/** The only statement that changes the state of a job: checks where it comes from, and tells it as an event. */
function applyMove<Row extends Record<string, unknown>>(
  queries: Queries,
  selection: Selection,
  move: Move,
  options: { columns: string; lock: string; durable: boolean },
): Promise<Row[]> {
  const { to, actor, reason = null, detail = '', papers = {} } = move;
  const where = selection.where((number) => `$${OWN_PARAMETERS + number}`);
  return queries.query<Row>(
    `with setting as materialized (
       select case when $7 then null else set_config('synchronous_commit', 'off', true) end as done),
     chosen as materialized (
       select j.id, j.state as former from setting, jobs j
       where (${where}) and j.state = any($2) ${options.lock}),
     moved as (
       update jobs set state = $1, reason = $3, detail = $4, next_event = next_event + 1,
         delivered_at = case when $1 = 'delivered' then now() else delivered_at end,
         started_at = case when $1 = 'running' then coalesce(started_at, now()) else started_at end,
         ended_at = case when $6 then now() end,
         ${papersSql(8)}
       from chosen where jobs.id = chosen.id
       returning jobs.*, chosen.former),
     told as (
       insert into job_events (job_id, sequence, kind, actor, content)
       select id, next_event - 1, 'state', $5,
         jsonb_strip_nulls(jsonb_build_object('from', former, 'to', state, 'reason', reason,
           'detail', nullif(detail, '')))
       from moved)
     select ${options.columns} from moved`,
    [
      to,
      statesBefore(to),
      reason,
      detail,
      actor,
      isFinal(to),
      options.durable,
      ...papersValues(papers),
      ...selection.values,
    ],
  );
}
