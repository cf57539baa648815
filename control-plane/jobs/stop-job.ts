import { actorOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database, Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { appendEvents } from './job-events.ts';
import { isFinal } from './job-states.ts';
import { lockJob, requestCancel, setOwner } from './job-store.ts';
import type { CancelMode, HeldJob, Job } from './job-store.ts';
import { moveJob } from './move-job.ts';

export interface StopJobOptions {
  database: Database;
  bus: Bus;
}

export type StopJob = ReturnType<typeof createStopJob>;

/** Ways to end a job from here. The caller has been found to be allowed to see it. */
export function createStopJob({ database, bus }: StopJobOptions) {
  async function change(
    job: Pick<Job, 'id'>,
    work: (queries: Queries, held: HeldJob) => Promise<void>,
  ): Promise<void> {
    const agentId = await database.transaction(async (queries) => {
      const held = await lockJob(queries, job.id);
      if (held === null)
        throw new DomainError('not_found', 'job_not_found', 'There is no such job.');
      if (isFinal(held.state)) throw hasEnded(held);
      await work(queries, held);
      return held.agentId;
    });
    bus.publish('agent', agentId);
    bus.publish('job', job.id);
    bus.publish('end', job.id);
  }

  return {
    /** A job that nobody was sent is cancelled at once; for any other the agent is asked. */
    cancel: (caller: Caller, job: Pick<Job, 'id'>, mode: CancelMode): Promise<void> =>
      change(job, async (queries, held) => {
        const actor = actorOf(caller);
        if (held.state === 'queued' || held.state === 'proposed') {
          await moveJob(queries, held.id, {
            to: 'cancelled',
            actor,
            reason: 'cancelled_before_start',
          });
        } else {
          await requestCancel(queries, held.id, mode);
          await appendEvents(queries, held.id, 'state', actor, [
            { to: held.state, cancelRequested: mode },
          ]);
        }
        await audit(queries, held, actor, 'job.cancel_requested', { mode });
      }),

    /** A lead answers for the job from now on. */
    takeOver: (caller: Caller, job: Pick<Job, 'id'>): Promise<void> =>
      change(job, async (queries, held) => {
        const actor = actorOf(caller);
        await setOwner(queries, held.id, caller.personId);
        await appendEvents(queries, held.id, 'state', actor, [
          { to: held.state, owner: caller.name },
        ]);
        await audit(queries, held, actor, 'job.taken_over', { owner: caller.personId });
      }),

    /** Closes a job without its agent's word, which corrects it if it still comes. */
    abandon: (caller: Caller, job: Pick<Job, 'id'>): Promise<void> =>
      change(job, async (queries, held) => {
        const actor = actorOf(caller);
        if (held.state === 'queued' || held.state === 'proposed') {
          throw new DomainError(
            'conflict',
            'job_not_sent',
            'Nobody was sent this job yet: cancel it instead.',
          );
        }
        await moveJob(queries, held.id, { to: 'abandoned', actor, reason: 'abandoned_by_person' });
        await audit(queries, held, actor, 'job.abandoned', {});
      }),
  };
}

function hasEnded(held: HeldJob): DomainError {
  return new DomainError('conflict', 'job_ended', `The job has ended: ${held.state}.`);
}

async function audit(
  queries: Queries,
  held: HeldJob,
  actor: string,
  kind: string,
  content: Record<string, unknown>,
): Promise<void> {
  await appendAudit(queries, {
    chain: `intervention:${held.interventionId}`,
    actor,
    kind,
    accountId: held.accountId,
    content: { job: held.id, ...content },
  });
}
