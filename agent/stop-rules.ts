import type { Logger } from 'pino';
import type { CancelMode } from './connection/courier.ts';
import type { Jobs } from './jobs/job.ts';
import type { Permission, StatementStore } from './statements.ts';
import type { AgentTrust } from './trust/agent-trust.ts';

const EVERY_MS = 5_000;

export interface StopRulesOptions {
  trust: Pick<AgentTrust, 'clock' | 'revocations'>;
  jobs: Pick<Jobs, 'all' | 'keepSpare'>;
  statements: StatementStore;
  isLocked: () => boolean;
  log: Logger;
}

interface Stop {
  mode: CancelMode;
  /** Reason code of the job's end. */
  why: string;
}

/**
 * Stops running jobs whose permission was taken back or has run out, and keeps a runner warm while some
 * permission is open.
 */
export class StopRules {
  private readonly options: StopRulesOptions;
  private readonly told = new Map<string, CancelMode>();
  private readonly timer: NodeJS.Timeout;

  constructor(options: StopRulesOptions) {
    this.options = options;
    this.timer = setInterval(() => this.apply(), EVERY_MS);
    this.timer.unref();
  }

  /** Judges everything now: after a revocation, an acceptance, a lock. */
  apply(): void {
    const { jobs, statements, log } = this.options;
    const running = jobs.all().filter((job) => job.ended === null);
    for (const job of running) {
      const permission = statements.get(job.id)?.permission;
      const stop = permission ? this.judge(permission) : null;
      if (stop === null || !this.isNews(job.id, stop.mode)) continue;
      log.warn({ job: job.id, ...stop }, 'stopping a job');
      this.told.set(job.id, stop.mode);
      job.cancel(stop.mode, stop.why).catch((error: unknown) => {
        log.error({ job: job.id, err: error }, 'a job could not be stopped');
      });
    }
    const ids = new Set(running.map((job) => job.id));
    for (const id of this.told.keys()) if (!ids.has(id)) this.told.delete(id);
    jobs.keepSpare(this.hasOpenPermission());
  }

  close(): void {
    clearInterval(this.timer);
  }

  private judge(permission: Permission): Stop | null {
    const { revocations, clock } = this.options.trust;
    const ids = [...permission.keys, ...(permission.grant === null ? [] : [permission.grant])];
    const modes = ids.flatMap((id) => {
      const mode = revocations.stopMode(id);
      // Who ordered it left; the client's permission holds, and a lead answers for the job.
      const goesOn = mode === 'after_step' && permission.engineerKeys?.includes(id);
      return mode === null || goesOn ? [] : [mode];
    });
    if (modes.length > 0) {
      return { mode: modes.includes('now') ? 'now' : 'after_step', why: 'revoked' };
    }
    const hasRunOut = permission.grant !== null && clock.read().now >= permission.grantExpiresAt;
    return hasRunOut ? { mode: 'after_step', why: 'grant_expired' } : null;
  }

  /** `now` may follow `after_step`. */
  private isNews(job: string, mode: CancelMode): boolean {
    const told = this.told.get(job);
    return told === undefined || (told === 'after_step' && mode === 'now');
  }

  private hasOpenPermission(): boolean {
    if (this.options.isLocked()) return false;
    for (const { permission } of this.options.statements.all()) {
      if (permission?.grant != null && this.judge(permission) === null) return true;
    }
    return false;
  }
}
