import type { Logger } from 'pino';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { digestStoredLog } from '../logs/log-digest.ts';
import { raiseAlarm } from './alarm.ts';

const LOOK_EVERY_MS = 60_000;

interface UnverifiedLog {
  id: string;
  accountId: string;
  interventionId: string;
  day: string;
  logLength: number;
  logDigest: string;
}

export interface LogVerifierOptions {
  database: Database;
  bus: Bus;
  log: Logger;
}

/**
 * Reads long logs back after their job has ended and compares them with the receipt, one at a time; finds those
 * of before a restart too.
 */
export class LogVerifier {
  private readonly options: LogVerifierOptions;
  private poll: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private isWanted = false;
  private isStopped = false;

  constructor(options: LogVerifierOptions) {
    this.options = options;
  }

  start(): void {
    this.poll ??= setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  async stop(): Promise<void> {
    clearInterval(this.poll);
    this.poll = undefined;
    this.isStopped = true;
    await this.running;
  }

  /** There is, or may be, a log to verify. */
  look(): void {
    this.isWanted = true;
    this.running ??= this.work()
      .catch((error: unknown) =>
        this.options.log.warn({ err: error }, 'could not verify stored logs'),
      )
      .finally(() => (this.running = undefined));
  }

  private async work(): Promise<void> {
    while (this.isWanted && !this.isStopped) {
      this.isWanted = false;
      for (const log of await findUnverifiedLogs(this.options.database)) {
        if (this.isStopped) return;
        await this.verify(log);
      }
    }
  }

  private async verify(log: UnverifiedLog): Promise<void> {
    const { database, bus } = this.options;
    const { id, day, logLength, logDigest } = log;
    const isSame = (await digestStoredLog(database, { jobId: id, day }, logLength)) === logDigest;
    await database.transaction(async (queries) => {
      const stored = await queries.query(
        'update jobs set log_verified = $2 where id = $1 and log_verified is null returning id',
        [id, isSame],
      );
      if (stored.length > 0 && !isSame) {
        await raiseAlarm(queries, log, 'log_digest_mismatch', { stated: logDigest });
      }
    });
    bus.publish('job', id);
  }
}

function findUnverifiedLogs(database: Database): Promise<UnverifiedLog[]> {
  return database.query<UnverifiedLog & Record<string, unknown>>(
    `select id, account_id as "accountId", intervention_id as "interventionId",
       to_char(created_at at time zone 'utc', 'YYYY-MM-DD') as day, log_length as "logLength",
       log_digest as "logDigest"
     from jobs where log_digest is not null and log_verified is null order by ended_at limit 100`,
  );
}
