import type { Bus } from '../cluster/bus.ts';
import { createWaker } from '../cluster/waker.ts';
import type { Queries } from '../database/database.ts';
import { isFinal } from './job-states.ts';
import { findJob } from './job-store.ts';
import type { Job } from './job-store.ts';

const POLL_MS = 5_000;

/**
 * The job as soon as it has ended, or as it is after `timeoutMs` or on abort. Null when there is none.
 *
 * @param isNew it was stored in this turn of the event loop: nothing can have become of it yet
 */
export async function awaitJob(
  { queries, bus }: { queries: Queries; bus: Bus },
  jobId: string,
  timeoutMs: number,
  signal?: AbortSignal,
  isNew = false,
): Promise<Job | null> {
  const deadline = performance.now() + timeoutMs;
  // Much may happen to a job before it ends; only the end is worth a look.
  const waker = createWaker(bus, [{ topic: 'end', id: jobId }]);
  try {
    if (isNew && timeoutMs > 0) await waker.wait(Math.min(timeoutMs, POLL_MS), signal);
    for (;;) {
      waker.prepare();
      const left = deadline - performance.now();
      const job = await findJob(queries, jobId);
      if (job === null || isFinal(job.state) || left <= 0 || signal?.aborted) return job;
      await waker.wait(Math.min(left, POLL_MS), signal);
    }
  } finally {
    waker.close();
  }
}
