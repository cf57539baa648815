import type { Logger } from 'pino';
import { readUnverified } from '../../proto/documents/document.ts';
import type { AgentSession } from '../agents/agent-sessions.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Queries } from '../database/database.ts';
import { credentialsForJob } from '../credentials/credential-store.ts';
import { claimQueuedJobs, readCancels, readUnansweredJobs } from './delivery-store.ts';
import type { DeliveryRow } from './delivery-store.ts';
import type { CancelMode } from './job-store.ts';
import type { OrderSigners } from './order-signers.ts';

export interface JobDeliveriesOptions {
  queries: Queries;
  bus: Bus;
  signers: OrderSigners;
  session: AgentSession;
  /** Jobs the agent said it holds. */
  known: readonly string[];
  /** Called when work could not be read or sent: the agent should come again. */
  onFailed: (error: unknown) => void;
  log: Logger;
}

/** Brings one agent its jobs and cancels, for as long as its session lasts. */
export class JobDeliveries {
  private readonly options: JobDeliveriesOptions;
  private readonly cancelsSent = new Map<string, CancelMode>();
  private isWanted = false;
  private looking: Promise<void> | undefined;
  private isStopped = false;

  constructor(options: JobDeliveriesOptions) {
    this.options = options;
  }

  /** Sends again what the agent may not have got, then whatever waits for it. */
  async start(): Promise<void> {
    const { queries, session, known } = this.options;
    await this.send(await readUnansweredJobs(queries, session.agentId, known));
    this.look();
  }

  /** There may be something new. Any number of calls while one look is under way make one more. */
  look(): void {
    this.isWanted = true;
    this.looking ??= this.lookWhileWanted().finally(() => (this.looking = undefined));
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.looking;
  }

  private async lookWhileWanted(): Promise<void> {
    const { queries, bus, session, onFailed } = this.options;
    try {
      while (this.isWanted && !this.isStopped) {
        this.isWanted = false;
        const claimed = await claimQueuedJobs(queries, session.agentId);
        await this.send(claimed);
        for (const { id } of claimed) bus.publish('job', id);
        for (const { id, mode } of await readCancels(queries, session.agentId))
          this.sendCancel(id, mode);
      }
    } catch (error) {
      onFailed(error);
    }
  }

  private async send(rows: readonly DeliveryRow[]): Promise<void> {
    const { queries, session, signers, log } = this.options;
    for (const row of rows) {
      const given = row.namesCredentials ? await credentialsForJob(queries, row.id) : [];
      const certifications = await signers.envelopesFor(signersOf(row));
      session.send({
        job: {
          jobId: row.id,
          order: row.order,
          authorization: row.authorization ?? Buffer.alloc(0),
          certifications,
          plan: row.plan ?? Buffer.alloc(0),
          auditHead: row.auditHead ?? '',
          given,
        },
      });
      log.info({ job: row.id, agent: session.agentId }, 'job sent');
    }
  }

  private sendCancel(jobId: string, mode: CancelMode): void {
    if (this.cancelsSent.get(jobId) === mode) return;
    this.cancelsSent.set(jobId, mode);
    this.options.session.send({ cancel: { jobId, mode } });
  }
}

function signersOf(row: DeliveryRow): string[] {
  const { keyids } = readUnverified('order', row.order);
  if (row.authorization === null || row.authorizationKind !== 'attestation') return keyids;
  return [...keyids, ...readUnverified('attestation', row.authorization).keyids];
}
