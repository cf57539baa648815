import { setTimeout as sleep } from 'node:timers/promises';
import type { HeldJob } from './held-job.ts';
import type { JobSpec } from './job-spec.ts';

/** A runner that lives has obeyed its own clock by then, or says that a step goes on within its bound. */
const GRACE_MS = 15_000;
const ASK_AGAIN_MAX_MS = 3_600_000;

/**
 * The runner keeps the time limit of its order itself, unless what it reads or runs keeps it from looking at the
 * clock. So after the limit it is told once more, as by any cancel: one that does not answer is killed. One that
 * answers is in a step that must reach its end, and is asked again, less and less often.
 */
export class TimeLimit {
  private readonly job: HeldJob;
  private readonly over = new AbortController();

  /** A runner may have written any time of its start: none gives it more than the limit from now on. */
  constructor(job: HeldJob, { maxRuntimeSeconds }: JobSpec, graceMs = GRACE_MS) {
    this.job = job;
    const limitMs = maxRuntimeSeconds * 1000;
    const startedAt = job.records(0).find((record) => record.type === 'started')?.at ?? Date.now();
    const leftMs = Math.min(Math.max(startedAt + limitMs - Date.now(), 0), limitMs);
    job.onChange(() => job.ended !== null && this.stop());
    void this.keep(leftMs + graceMs, graceMs);
  }

  stop(): void {
    this.over.abort();
  }

  private async keep(firstMs: number, graceMs: number): Promise<void> {
    const { signal } = this.over;
    for (
      let waitMs = firstMs, nextMs = graceMs;
      ;
      [waitMs, nextMs] = [nextMs, Math.min(nextMs * 2, ASK_AGAIN_MAX_MS)]
    ) {
      await sleep(waitMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await this.job.cancel('now', 'time_limit');
    }
  }
}
