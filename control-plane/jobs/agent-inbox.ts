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
  /** Nothing can be stored, or too much was refused: the session should end. */
  onFailed: (error: unknown) => void;
  log: Logger;
}

/** Words that may wait before the session is no longer read. */
const WAITING_MAX = 64;
const JOBS_AT_ONCE = 4;
/** A session that brought so many words that cannot be true is not worth going on with. */
const REFUSED_MAX = 100;

/** What could not even be read as a word about its job. */
interface Unreadable {
  type: 'unreadable';
  jobId: string;
  error: unknown;
}
type Waiting = AgentWord | Unreadable;

/**
 * Stores what one agent says of its jobs: per job in order, and all that waits in one transaction. An accepted
 * receipt and an end that come together thus cost one commit. A word that cannot be true is refused with an
 * alarm on its job; what else the agent says, of this job and of others, is stored all the same.
 */
export class AgentInbox {
  private readonly options: AgentInboxOptions;
  private readonly waiting = new Map<string, Waiting[]>();
  private readonly busy = new Map<string, Promise<void>>();
  private waitingCount = 0;
  private refusedCount = 0;
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
    this.add(word);
  }

  /** What was said cannot be: the job it was about keeps a note. Without a job the session ends. */
  reject(jobId: string | null, error: unknown): void {
    if (jobId === null) this.fail(error);
    else this.add({ type: 'unreadable', jobId, error });
  }

  private add(word: Waiting): void {
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
        .catch((error: unknown) => this.fail(error))
        .finally(() => {
          this.busy.delete(jobId);
          for (const resolve of this.roomWanted.splice(0)) resolve();
          this.work();
        });
      this.busy.set(jobId, task);
    }
  }

  private async store(jobId: string, words: readonly Waiting[]): Promise<void> {
    const readable = words.filter((word) => word.type !== 'unreadable');
    if (readable.length === words.length) {
      try {
        await this.storeTogether(jobId, readable);
        return;
      } catch (error) {
        if (refusalCode(error) === null) throw error;
        // One of them cannot be true; the others need not fall with it.
      }
    }
    for (const word of words) await this.storeOne(jobId, word);
  }

  private async storeOne(jobId: string, word: Waiting): Promise<void> {
    try {
      if (word.type === 'unreadable') throw word.error;
      await this.storeTogether(jobId, [word]);
    } catch (error) {
      const code = refusalCode(error);
      if (code === null) throw error;
      await this.noteRefused(jobId, code);
      if (++this.refusedCount >= REFUSED_MAX) this.fail(error);
    }
  }

  private async storeTogether(jobId: string, words: readonly AgentWord[]): Promise<void> {
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
    if (applied.hasEnded) bus.publish('end', jobId);
    if (applied.mustVerifyLog) this.options.onMustVerifyLog(jobId);
  }

  private fail(error: unknown): void {
    if (this.isFailed) return;
    this.isFailed = true;
    this.waiting.clear();
    this.waitingCount = 0;
    this.options.onFailed(error);
  }

  private async noteRefused(jobId: string, code: string): Promise<void> {
    const { database, bus, agentId } = this.options;
    await database.transaction(async (queries) => {
      const job = await lockJob(queries, jobId);
      if (job?.agentId === agentId) await raiseAlarm(queries, job, 'word_rejected', { why: code });
    });
    bus.publish('job', jobId);
  }
}

/**
 * Why a word is refused; null when the session must end instead: because nothing can be stored now, or because
 * the agent learns only from a new session from where its log is wanted.
 */
function refusalCode(error: unknown): string | null {
  if (error instanceof DocumentError) return error.reason;
  if (error instanceof DomainError) {
    return error.kind === 'unavailable' || error.code === 'log_gap' ? null : error.code;
  }
  // SQLSTATE class 22: a value that the database cannot hold.
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^22[0-9A-Z]{3}$/.test(code) ? 'word_unstorable' : null;
}
