import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import type { LiveTail } from './live-tail.ts';
import { findLogPosition } from './log-store.ts';
import { raiseAlarm } from '../jobs/alarm.ts';
import { lockJob } from '../jobs/job-store.ts';
import { LOG_MAX_BYTES, LogWriter } from './log-writer.ts';

/** One upload of a job's log, from one stream. */
export interface LogUpload {
  writer: LogWriter;
  /** Stops accepting; what was accepted is still committed. */
  close(): Promise<void>;
}

export interface OpenLogUpload {
  jobId: string;
  agentId: string;
  onCommitted: (offset: number) => void;
  onFailed: (error: unknown) => void;
}

/** The logs that are being written in this process: one writer per job. */
export class LogUploads {
  private readonly writers = new Map<string, LogWriter>();
  private readonly database: Database;
  private readonly bus: Bus;
  private readonly maxBytes: number;
  private readonly alarmed = new Set<string>();

  constructor(options: { database: Database; bus: Bus; maxBytes?: number }) {
    this.database = options.database;
    this.bus = options.bus;
    this.maxBytes = options.maxBytes ?? LOG_MAX_BYTES;
  }

  /** Bytes of a job's log that are newer than the database, if it is being written here. */
  tail(jobId: string): LiveTail | undefined {
    return this.writers.get(jobId)?.tail;
  }

  /**
   * Begins to write a job's log. A former upload of it ends: its stream is one the agent has given up.
   * Throws DomainError `job_not_found` when the job is not this agent's.
   */
  async open({ jobId, agentId, onCommitted, onFailed }: OpenLogUpload): Promise<LogUpload> {
    const former = this.writers.get(jobId);
    if (former !== undefined) {
      const position = await findLogPosition(this.database, jobId);
      if (position?.agentId !== agentId) throw notFound();
      former.fail(
        new DomainError('conflict', 'upload_superseded', 'A newer upload of this log began.'),
      );
      await former.settled();
      if (this.writers.get(jobId) === former) this.writers.delete(jobId);
    }
    const position = await findLogPosition(this.database, jobId);
    if (position === null || position.agentId !== agentId) throw notFound();
    if (this.writers.has(jobId)) {
      throw new DomainError('conflict', 'upload_superseded', 'Another upload of this log began.');
    }
    const { database, bus, maxBytes } = this;
    let told: Promise<void> | undefined;
    const onTooLong = () => void (told ??= this.alarmOnce(jobId));
    const writer = new LogWriter({
      database,
      bus,
      position,
      maxBytes,
      onCommitted,
      onFailed,
      onTooLong,
    });
    this.writers.set(jobId, writer);
    return {
      writer,
      close: async () => {
        await writer.settled();
        if (this.writers.get(jobId) === writer) this.writers.delete(jobId);
        await told;
      },
    };
  }

  /** An agent that comes back with the same log is not told of again. */
  private async alarmOnce(jobId: string): Promise<void> {
    if (this.alarmed.has(jobId)) return;
    this.alarmed.add(jobId);
    try {
      await this.database.transaction(async (queries) => {
        const job = await lockJob(queries, jobId);
        if (job !== null) {
          await raiseAlarm(queries, job, 'log_too_long', { stored: job.logOffset });
        }
      });
      this.bus.publish('job', jobId);
    } catch {
      // The next attempt to go beyond tells of it.
      this.alarmed.delete(jobId);
    }
  }
}

function notFound(): DomainError {
  return new DomainError('not_found', 'job_not_found', 'This agent has no such job.');
}
