import type { Job } from '../jobs/job.ts';
import { GuardFolder } from './guard-folder.ts';
import { startGuardian } from './guardian-process.ts';

const LOOK_EVERY_MS = 5_000;

/**
 * Sees to it that a guardian watches while a job has a guard: the first one where no systemd starts it, and another
 * one when it was killed.
 */
export class GuardKeeper {
  private readonly job: Job;
  private readonly guard: GuardFolder;
  private readonly timer: NodeJS.Timeout;
  private readonly stopListening: () => void;
  private startedAt = -Infinity;

  constructor(job: Job) {
    this.job = job;
    this.guard = new GuardFolder(job.directory);
    this.timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.timer.unref();
    this.stopListening = job.onChange(() => this.look());
    this.look();
  }

  stop(): void {
    clearInterval(this.timer);
    this.stopListening();
  }

  private look(): void {
    if (this.job.ended !== null) return this.stop();
    const now = performance.now();
    if (now - this.startedAt < LOOK_EVERY_MS || !this.guard.isArmed || this.guard.end !== null)
      return;
    this.startedAt = now;
    startGuardian(this.guard);
  }
}
