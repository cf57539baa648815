import { scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { pickReferenced } from '../database/reference.ts';
import type { ApproveJob } from './approve-job.ts';
import { awaitJob } from './await-job.ts';
import { readEvents } from './job-events.ts';
import type { EventsPage } from './job-events.ts';
import type { JobProgress, Progress } from './job-progress.ts';
import type { JobState } from './job-states.ts';
import { jobCandidates, listJobs, readJobDocuments } from './job-store.ts';
import type { CancelMode, Job, JobDocuments } from './job-store.ts';
import type { StopJob } from './stop-job.ts';
import type { SubmittedOrder } from './submit-job.ts';

export interface JobQuery {
  serverId: string | null;
  interventionId: string | null;
  state: JobState | null;
}

/** Jobs as people deal with them; everything is scoped to what the caller may see. */
export interface JobsService {
  /** Queues an order; returns the job as it is, or as it ended within `waitMs`. */
  submit(
    caller: Caller,
    order: SubmittedOrder,
    wait: { ms: number; signal: AbortSignal },
  ): Promise<Job>;
  /** By `1042.3`, `1042/3`, id or end of the id. Throws `job_not_found`, `job_ambiguous`. */
  resolve(caller: Caller, reference: string): Promise<Job>;
  /** The job when it has ended, or as it is after `ms`. */
  wait(job: Job, wait: { ms: number; signal: AbortSignal }): Promise<Job>;
  list(
    caller: Caller,
    query: JobQuery,
    page: { before: { createdAt: Date; id: string } | null; limit: number },
  ): Promise<Job[]>;
  cancel(caller: Caller, reference: string, mode: CancelMode): Promise<Job>;
  abandon(caller: Caller, reference: string): Promise<Job>;
  /** Adds a second engineer's signature; with the last one needed the job is queued. */
  approve(caller: Caller, reference: string, envelope: Uint8Array): Promise<Job>;
  takeOver(caller: Caller, reference: string): Promise<Job>;
  documents(caller: Caller, reference: string): Promise<JobDocuments>;
  events(jobId: string, after: number): Promise<EventsPage>;
  progress(jobId: string): Progress | null;
}

/** A page of events; one event more than the bytes may lie in it. */
const EVENTS_AT_ONCE = { events: 500, bytes: 1024 * 1024 };

export interface JobsServiceOptions {
  database: Database;
  bus: Bus;
  submitJob: (caller: Caller, order: SubmittedOrder) => Promise<string>;
  approveJob: ApproveJob;
  stopJob: StopJob;
  progress: JobProgress;
}

export function createJobsService(options: JobsServiceOptions): JobsService {
  const { database, bus, submitJob, approveJob, stopJob, progress } = options;

  async function resolve(caller: Caller, reference: string): Promise<Job> {
    const found = await jobCandidates(database, scopeOf(caller), reference);
    // A number means one job only.
    return /[./]/.test(reference) && found.length === 1
      ? found[0]!
      : pickReferenced(found, reference, 'job');
  }

  async function wait(
    jobId: string,
    { ms, signal }: { ms: number; signal: AbortSignal },
    isNew = false,
  ): Promise<Job> {
    return (await awaitJob({ queries: database, bus }, jobId, ms, signal, isNew))!;
  }

  return {
    resolve,
    submit: async (caller, order, waiting) => wait(await submitJob(caller, order), waiting, true),
    wait: (job, waiting) => wait(job.id, waiting),
    list: (caller, query, page) =>
      listJobs(database, scopeOf(caller), query, page.before, page.limit),
    cancel: async (caller, reference, mode) => {
      const job = await resolve(caller, reference);
      await stopJob.cancel(caller, job, mode);
      return resolve(caller, job.id);
    },
    abandon: async (caller, reference) => {
      const job = await resolve(caller, reference);
      await stopJob.abandon(caller, job);
      return resolve(caller, job.id);
    },
    approve: async (caller, reference, envelope) => {
      const job = await resolve(caller, reference);
      await approveJob(caller, job, envelope);
      return resolve(caller, job.id);
    },
    takeOver: async (caller, reference) => {
      const job = await resolve(caller, reference);
      await stopJob.takeOver(caller, job);
      return resolve(caller, job.id);
    },
    documents: async (caller, reference) =>
      readJobDocuments(database, (await resolve(caller, reference)).id),
    events: (jobId, after) => readEvents(database, jobId, after, EVENTS_AT_ONCE),
    progress: (jobId) => progress.get(jobId),
  };
}
