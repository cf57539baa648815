import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Caller } from '../accounts/caller.ts';
import type { ConnectResponse } from '../../proto/wire.ts';
import type { Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { isFinal } from '../jobs/job-states.ts';
import type { Job } from '../jobs/job-store.ts';
import type { JobsService } from '../jobs/jobs-service.ts';
import { joinPipes } from './frame-pipe.ts';
import type { FramePipe } from './frame-pipe.ts';
import { readOrderer } from './terminal-store.ts';

/** How long an agent that is connected may take to open its side. */
const ARRIVE_MS = 10_000;
/** Attachments that wait for their agent, of all engineers together. */
const WAITING_MAX = 1_000;

interface Waiting {
  agentId: string;
  jobId: string;
  arrived: (pipe: FramePipe) => void;
}

export interface TerminalsOptions {
  jobs: Pick<JobsService, 'resolve'>;
  queries: Queries;
  /** The session of an agent that is connected here. */
  findSession: (agentId: string) => { send(message: ConnectResponse): void } | undefined;
  log: Logger;
  arriveMs?: number;
}

/**
 * Brings an engineer's program and the agent of their terminal together. What passes between them is sealed
 * by keys that are not here.
 */
export class TerminalsService {
  private readonly options: TerminalsOptions;
  private readonly waiting = new Map<string, Waiting>();

  constructor(options: TerminalsOptions) {
    this.options = options;
  }

  /**
   * Asks the agent to open its side; resolves with what joins it to the engineer's. Throws DomainError:
   * for anybody but the engineer who ordered the terminal, for one that is over, for an agent that is away.
   */
  async attach(caller: Caller, reference: string): Promise<(engineer: FramePipe) => void> {
    const { jobs, queries, log } = this.options;
    const job = await jobs.resolve(caller, reference);
    await this.requireOwn(caller, job, await readOrderer(queries, job.id));
    const agent = await this.askAgent(job);
    return (engineer) => {
      log.info({ job: job.id }, 'an engineer attached to a terminal');
      joinPipes(engineer, agent, (passed) => {
        log.info({ job: job.id, ...passed }, 'an engineer is no longer attached');
      });
    };
  }

  /** An agent opened its side. False for one that nobody waits for. */
  arrive(agentId: string, jobId: string, attachment: string, pipe: FramePipe): boolean {
    const waiting = this.waiting.get(attachment);
    if (waiting === undefined || waiting.agentId !== agentId || waiting.jobId !== jobId) {
      return false;
    }
    waiting.arrived(pipe);
    return true;
  }

  private async requireOwn(caller: Caller, job: Job, orderer: string | null): Promise<void> {
    if (job.action !== 'terminal.open' || job.mode !== 'apply') {
      throw new DomainError('conflict', 'no_terminal', 'This job has no terminal.');
    }
    if (orderer !== caller.personId) {
      throw new DomainError(
        'forbidden',
        'not_your_terminal',
        'Only the engineer who ordered a terminal can attach to it.',
      );
    }
    if (isFinal(job.state)) {
      throw new DomainError('conflict', 'terminal_ended', `The terminal is over: ${job.state}.`);
    }
  }

  private async askAgent(job: Job): Promise<FramePipe> {
    const session = this.options.findSession(job.agentId);
    if (session === undefined || this.waiting.size >= WAITING_MAX) throw away(job);
    const attachment = randomUUID();
    const { promise, resolve, reject } = Promise.withResolvers<FramePipe>();
    const tooLate = setTimeout(() => reject(away(job)), this.options.arriveMs ?? ARRIVE_MS);
    this.waiting.set(attachment, { agentId: job.agentId, jobId: job.id, arrived: resolve });
    try {
      session.send({ openTerminal: { jobId: job.id, attachment } });
      return await promise;
    } finally {
      clearTimeout(tooLate);
      this.waiting.delete(attachment);
    }
  }
}

function away(job: Job): DomainError {
  return new DomainError(
    'unavailable',
    'agent_away',
    `The agent of ${job.serverName} does not answer for this terminal now.`,
    { safe: 'The terminal goes on by itself there.' },
  );
}
