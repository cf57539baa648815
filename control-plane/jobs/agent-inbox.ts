import type { Logger } from 'pino';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { DocumentError } from '../../proto/documents/document.ts';
import type { AgentWord } from './agent-word.ts';
import { raiseAlarm } from './alarm.ts';
import { applyAgentWords } from './apply-agent-word.ts';
import type { Acknowledged, Applied } from './apply-agent-word.ts';
import { lockJob } from './job-store.ts';

export interface AgentInboxOptions {
  database: Database;
  bus: Bus;
  agentId: string;
  onAcknowledged: (jobId: string, acknowledged: Acknowledged) => void;
  /** A job runs that was closed here. */
  onShouldStop: (jobId: string) => void;
  /** The log of a job is stored and waits to be compared with its receipt. */
  onMustVerifyLog: (jobId: string) => void;
  /** What was said cannot be stored: the session should end. */
  onFailed: (error: unknown) => void;
  log: Logger;
}

/** Words that may wait before the session is no longer read. */
const WAITING_MAX = 64;
const JOBS_AT_ONCE = 4;
/** Stands among the jobs that are being stored; no job is called so. */
const REJECTED = 'rejected';

/**
 * Stores what one agent says of its jobs: per job in order, and all that waits in one transaction. An accepted
 * receipt and an end that come together thus cost one commit.
 */
export class AgentInbox {
  private readonly options: AgentInboxOptions;
  private readonly waiting = new Map<string, AgentWord[]>();
  private readonly busy = new Map<string, Promise<void>>();
  private waitingCount = 0;
  private isFailed = false;
  private turn: NodeJS.Immediate | undefined;
  private roomWanted: (() => void)[] = [];

  constructor(options: AgentInboxOptions) {
    this.options = options;
  }

  get isFull(): boolean {
    return this.waitingCount >= WAITING_MAX;
  }

  accept(word: AgentWord): void {
    if (this.isFailed) return;
    const words = this.waiting.get(word.jobId);
    if (words === undefined) this.waiting.set(word.jobId, [word]);
    else words.push(word);
    this.waitingCount++;
    // A turn later, so that what came in one read is stored in one transaction.
    this.turn ??= setImmediate(() => {
      this.turn = undefined;
      this.work();
    });
  }

  /** What was said cannot be: nothing more is accepted, and the job it was about keeps a note. */
  reject(jobId: string | null, error: unknown): void {
    if (this.isFailed) return;
    const task = this.fail(jobId, error).finally(() => this.busy.delete(REJECTED));
    this.busy.set(REJECTED, task);
  }

  /** Resolves when more may be accepted, or the inbox has failed. */
  async whenRoom(): Promise<void> {
    while (this.isFull && !this.isFailed) {
      await new Promise<void>((resolve) => this.roomWanted.push(resolve));
    }
  }

  /** Resolves when everything accepted is stored, or has failed. */
  async settled(): Promise<void> {
    while (this.busy.size > 0 || this.waiting.size > 0) {
      this.work();
      await Promise.all(this.busy.values());
    }
  }

  private work(): void {
    for (const jobId of this.waiting.keys()) {
      if (this.busy.size >= JOBS_AT_ONCE) return;
      if (this.busy.has(jobId)) continue;
      const words = this.waiting.get(jobId)!;
      this.waiting.delete(jobId);
      this.waitingCount -= words.length;
      const task = this.store(jobId, words)
        .catch((error: unknown) => this.fail(jobId, error))
        .finally(() => {
          this.busy.delete(jobId);
          for (const resolve of this.roomWanted.splice(0)) resolve();
          this.work();
        });
      this.busy.set(jobId, task);
    }
  }

  private async store(jobId: string, words: readonly AgentWord[]): Promise<void> {
    const { database, bus, agentId, log } = this.options;
    const applied = await database.transaction(async (queries): Promise<Applied | null> => {
      const job = await lockJob(queries, jobId);
      return job?.agentId === agentId ? applyAgentWords(queries, job, words) : null;
    });
    if (applied === null) {
      // A job of a former identity, or of a database that was put back: the agent keeps what it has.
      log.warn({ job: jobId, agent: agentId }, 'an agent speaks of a job that is not its own here');
      return;
    }
    this.options.onAcknowledged(jobId, applied.acknowledged);
    if (applied.shouldStop) this.options.onShouldStop(jobId);
    if (applied.logGrew) bus.publish('log', jobId);
    bus.publish('job', jobId);
    if (applied.mustVerifyLog) this.options.onMustVerifyLog(jobId);
  }

  private async fail(jobId: string | null, error: unknown): Promise<void> {
    this.isFailed = true;
    this.waiting.clear();
    this.waitingCount = 0;
    this.options.onFailed(error);
    if (jobId === null) return;
    if (error instanceof DomainError && error.kind !== 'unavailable') {
      await this.noteRejected(jobId, error.code);
    } else if (error instanceof DocumentError) {
      await this.noteRejected(jobId, error.reason);
    }
  }

  private async noteRejected(jobId: string, code: string): Promise<void> {
    const { database, bus, agentId, log } = this.options;
    try {
      await database.transaction(async (queries) => {
        const job = await lockJob(queries, jobId);
        if (job?.agentId === agentId)
          await raiseAlarm(queries, job, 'word_rejected', { why: code });
      });
      bus.publish('job', jobId);
    } catch (error) {
      log.warn({ err: error, job: jobId }, 'could not note a rejected word');
    }
  }
}
