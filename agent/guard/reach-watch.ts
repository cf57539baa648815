import type { Job } from '../jobs/job.ts';
import { GuardFolder } from './guard-folder.ts';

const LOOK_EVERY_MS = 1_000;

export interface ReachWatchOptions {
  /** Jobs that may have a guard and have not ended. */
  guardedJobs: () => readonly Job[];
  /** Ends the session and begins a new one: a connection of before the change may live on where no new one would. */
  reconnect: (why: string) => void;
  onError: (job: string, error: unknown) => void;
}

/**
 * Finds out whether the control plane can be reached after a guarded change, by a connection that was begun after
 * it, and says so in the job's guard. Without that nobody can confirm the change.
 */
export class ReachWatch {
  private readonly options: ReachWatchOptions;
  /** Jobs for which a new connection was asked for. */
  private readonly asked = new Map<string, GuardFolder>();
  private readonly timer: NodeJS.Timeout;

  constructor(options: ReachWatchOptions) {
    this.options = options;
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.timer.unref();
  }

  /** To be called whenever a job has changed. */
  look(): void {
    const waiting = new Set<string>();
    for (const job of this.options.guardedJobs()) {
      const guard = new GuardFolder(job.directory);
      if (!guard.isChanged || guard.isReached || guard.end !== null) continue;
      waiting.add(job.id);
      if (this.asked.has(job.id)) continue;
      this.asked.set(job.id, guard);
      this.options.reconnect('a change waits for its confirmation');
    }
    for (const id of this.asked.keys()) if (!waiting.has(id)) this.asked.delete(id);
  }

  /** A new session was welcomed. */
  connected(): void {
    for (const [job, guard] of this.asked) {
      guard.markReached().catch((error: unknown) => this.options.onError(job, error));
    }
  }

  close(): void {
    clearInterval(this.timer);
  }
}
