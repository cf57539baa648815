import type { Logger } from 'pino';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { moveJobs } from './move-job.ts';

const LOOK_EVERY_MS = 5_000;

export interface ExpireJobsOptions {
  database: Database;
  bus: Bus;
  log: Logger;
}

interface ExpiredJob extends Record<string, unknown> {
  id: string;
  accountId: string;
  interventionId: string;
}

/**
 * Ends queued jobs whose agent did not come, and proposed ones that too few signed, before their start-before
 * passed; also after a restart.
 */
export class JobExpiry {
  private readonly options: ExpireJobsOptions;
  private poll: NodeJS.Timeout | undefined;
  private next: { at: number; timer: NodeJS.Timeout } | undefined;

  constructor(options: ExpireJobsOptions) {
    this.options = options;
  }

  start(): void {
    this.poll ??= setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  stop(): void {
    clearInterval(this.poll);
    clearTimeout(this.next?.timer);
    this.poll = this.next = undefined;
  }

  /** Looks again when this time has passed. */
  at(startBefore: Date): void {
    const at = startBefore.getTime();
    if (this.poll === undefined || (this.next !== undefined && this.next.at <= at)) return;
    clearTimeout(this.next?.timer);
    const timer = setTimeout(
      () => {
        this.next = undefined;
        this.look();
      },
      Math.max(at - Date.now(), 0) + 10,
    );
    this.next = { at, timer };
  }

  /** Ends what has to end now. */
  async expire(): Promise<void> {
    const { database, bus } = this.options;
    const expired = await database.transaction(async (queries) => {
      const end = (state: 'queued' | 'proposed', reason: string) =>
        moveJobs<ExpiredJob>(
          queries,
          { where: () => `j.state = '${state}' and j.start_before <= now()`, values: [] },
          { to: 'expired', actor: 'system', reason },
          {
            columns: `moved.id, moved.account_id as "accountId", moved.intervention_id as "interventionId"`,
            durable: true,
          },
        );
      const jobs = [
        ...(await end('queued', 'start_before_passed')),
        ...(await end('proposed', 'signatures_missing')),
      ];
      for (const job of jobs) {
        await appendAudit(queries, {
          chain: `intervention:${job.interventionId}`,
          actor: 'system',
          kind: 'job.expired',
          accountId: job.accountId,
          content: { job: job.id },
        });
      }
      return jobs;
    });
    for (const { id } of expired) {
      bus.publish('job', id);
      bus.publish('end', id);
    }
  }

  private look(): void {
    this.expire().catch((error: unknown) =>
      this.options.log.warn({ err: error }, 'could not look for expired jobs'),
    );
  }
}
