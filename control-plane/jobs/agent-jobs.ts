import type { Logger } from 'pino';
import { DocumentError } from '../../proto/documents/document.ts';
import type {
  ConnectRequest__Output,
  JobEnded__Output,
  JobPosition__Output,
} from '../../proto/wire.ts';
import type { AgentSession } from '../agents/agent-sessions.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { AgentInbox } from './agent-inbox.ts';
import { readEndedWord, readEventsWord, readReceiptWord } from './agent-word.ts';
import type { AgentWord, Speaker } from './agent-word.ts';
import type { Acknowledged } from './apply-agent-word.ts';
import { agentsWithWork, readPositions } from './delivery-store.ts';
import { JobDeliveries } from './job-deliveries.ts';
import type { JobProgress } from './job-progress.ts';
import type { OrderSigners } from './order-signers.ts';

export interface AgentJobsOptions {
  database: Database;
  bus: Bus;
  signers: OrderSigners;
  progress: JobProgress;
  /** A log is stored and waits to be compared with its receipt. */
  onMustVerifyLog: () => void;
  log: Logger;
}

/** Jobs that came in for one agent. */
export interface Arrivals {
  readonly hasSome: boolean;
  /** Calls `listener` for each, also for those that came before. */
  onMore(listener: () => void): void;
  stop(): void;
}

/** The jobs of one agent, for the time of its session. */
export interface JobSession {
  /** How far each job that the agent holds is stored here. */
  readonly positions: JobPosition__Output[];
  /** Begins to send what waits for the agent. */
  deliver(): Promise<void>;
  /** Takes what the agent says; what cannot be true is refused, with an alarm on the job it is about. */
  hear(message: ConnectRequest__Output): void;
  readonly isFull: boolean;
  whenRoom(): Promise<void>;
  /** Resolves when everything heard is stored. */
  close(): Promise<void>;
}

/** Positions for which the answer to a hello has room. */
const KNOWN_MAX = 1_000;
const POLL_MS = 5_000;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Jobs between the database and the agents that are connected here. */
export class AgentJobs {
  private readonly options: AgentJobsOptions;
  private readonly connected = new Set<string>();
  private poll: NodeJS.Timeout | undefined;

  constructor(options: AgentJobsOptions) {
    this.options = options;
  }

  /** Looks by itself now and then for work whose wake-up was lost. */
  start(): void {
    this.poll ??= setInterval(() => {
      this.wakeAgents().catch((error: unknown) =>
        this.options.log.warn({ err: error }, 'could not look for waiting jobs'),
      );
    }, POLL_MS);
  }

  stop(): void {
    clearInterval(this.poll);
    this.poll = undefined;
  }

  /**
   * Listens for jobs that are queued for an agent from now on: to be called before its session is stored, so that
   * none is missed between a look and the listening.
   */
  expect(agentId: string): Arrivals {
    let hasSome = false;
    let tell = (): void => void (hasSome = true);
    const stop = this.options.bus.subscribe('agent', agentId, () => tell());
    return {
      get hasSome() {
        return hasSome;
      },
      onMore: (listener) => {
        tell = listener;
        if (hasSome) listener();
      },
      stop,
    };
  }

  async begin(agent: {
    session: AgentSession;
    speaker: Speaker;
    known: readonly string[];
    arrivals: Arrivals;
    hasOpenJobs: boolean;
  }): Promise<JobSession> {
    const { database, bus, signers, progress, log } = this.options;
    const { session, speaker, arrivals } = agent;
    const { agentId } = speaker;
    const known = newestOf(agent.known);
    const own = new Set<string>();
    const positions = await this.positionsOf(agentId, known, own);
    const end = (error: unknown) => session.end(asDomainError(error, log));

    const inbox = new AgentInbox({
      database,
      bus,
      agentId,
      log,
      onFailed: end,
      onMustVerifyLog: this.options.onMustVerifyLog,
      onShouldStop: (jobId) => session.send({ cancel: { jobId, mode: 'now' } }),
      onAcknowledged: (jobId, acknowledged) => {
        own.add(jobId);
        if (acknowledged.ended) progress.forget(jobId);
        session.send({ acknowledged: acknowledgement(jobId, acknowledged) });
      },
    });
    const deliveries = new JobDeliveries({
      queries: database,
      bus,
      signers,
      session,
      known: known.filter((id) => UUID.test(id)),
      onFailed: end,
      log,
    });
    this.connected.add(agentId);

    return {
      positions,
      deliver: async () => {
        if (agent.hasOpenJobs || arrivals.hasSome) await deliveries.start();
        arrivals.onMore(() => deliveries.look());
      },
      hear: (message) => {
        if (message.body === 'progress') {
          const { jobId = '' } = message.progress!;
          if (own.has(jobId)) progress.set(jobId, message.progress!);
          return;
        }
        for (const read of wordsOf(speaker, message)) {
          try {
            inbox.accept(requireJobId(read()));
          } catch (error) {
            inbox.reject(spokenOf(message), error);
          }
        }
      },
      get isFull() {
        return inbox.isFull;
      },
      whenRoom: () => inbox.whenRoom(),
      close: async () => {
        arrivals.stop();
        this.connected.delete(agentId);
        await deliveries.stop();
        await inbox.settled();
      },
    };
  }

  private async positionsOf(
    agentId: string,
    known: readonly string[],
    own: Set<string>,
  ): Promise<JobPosition__Output[]> {
    const ids = known.filter((id) => UUID.test(id));
    const rows = ids.length === 0 ? [] : await readPositions(this.options.database, agentId, ids);
    const byId = new Map(rows.map((row) => [row.id, row]));
    for (const { id } of rows) own.add(id);
    return known.map((jobId) => {
      const row = byId.get(jobId);
      return {
        jobId,
        known: row !== undefined,
        ended: row?.ended ?? false,
        nextSequence: row?.nextSequence ?? 0,
        logOffset: row?.logOffset ?? 0,
      };
    });
  }

  private async wakeAgents(): Promise<void> {
    const { database, bus } = this.options;
    if (this.connected.size === 0) return;
    for (const agentId of await agentsWithWork(database)) {
      if (this.connected.has(agentId)) bus.publish('agent', agentId);
    }
  }
}

/** What a message says, each part to be read for itself: one that cannot be true does not spoil the others. */
function wordsOf(speaker: Speaker, message: ConnectRequest__Output): (() => AgentWord)[] {
  const { receipt, events, ended } = message;
  switch (message.body) {
    case 'receipt':
      return [() => readReceiptWord(speaker, receipt!)];
    case 'events':
      return [() => readEventsWord(events!)];
    case 'ended':
      return [...unsaidOf(speaker, ended!), () => readEndedWord(speaker, ended!)];
    default:
      // A heartbeat, or a word of a newer agent.
      return [];
  }
}

/** What a job that was over at once says together with its end. */
function unsaidOf(speaker: Speaker, ended: JobEnded__Output): (() => AgentWord)[] {
  const { jobId = '', accepted, events } = ended;
  const words: (() => AgentWord)[] = [];
  if (accepted !== undefined && accepted.length > 0) {
    words.push(() => readReceiptWord(speaker, { jobId, receipt: accepted }));
  }
  if (events) words.push(() => readEventsWord({ ...events, jobId }));
  return words;
}

/** The job a message is about, if it is one that can be looked for. */
function spokenOf({ receipt, events, ended }: ConnectRequest__Output): string | null {
  const jobId = receipt?.jobId ?? events?.jobId ?? ended?.jobId ?? '';
  return UUID.test(jobId) ? jobId : null;
}

function requireJobId(word: AgentWord): AgentWord {
  if (UUID.test(word.jobId)) return word;
  throw new DomainError('invalid', 'job_id_invalid', 'Not the id of a job.');
}

/** Ids begin with their time. Older jobs are told of when the newer ones have been let go. */
function newestOf(known: readonly string[]): readonly string[] {
  return known.length <= KNOWN_MAX ? known : known.toSorted().slice(-KNOWN_MAX);
}

function acknowledgement(jobId: string, acknowledged: Acknowledged) {
  const { receipt, ended, nextSequence } = acknowledged;
  return { jobId, receipt, ended, ...(nextSequence !== null && { nextSequence }) };
}

function asDomainError(error: unknown, log: Logger): DomainError {
  if (error instanceof DomainError) return error;
  if (error instanceof DocumentError) {
    return new DomainError('invalid', error.reason, error.message, { cause: error });
  }
  log.error({ err: error }, 'a session failed');
  return new DomainError('unavailable', 'session_failed', 'The session failed here; come again.');
}
