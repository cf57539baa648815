import type { Logger } from 'pino';
import { findAction } from '../proto/actions/catalogue.ts';
import { wireLimits } from '../proto/wire.ts';
import { keyFingerprint } from '../proto/documents/keys.ts';
import type { Grant } from '../proto/documents/kinds/grant.ts';
import type { AgentConfig } from './config.ts';
import type { CancelMode, Delivery } from './connection/courier.ts';
import type { Reporter } from './connection/report.ts';
import type { Job, Jobs } from './jobs/job.ts';
import type { JobSpec } from './jobs/job-spec.ts';
import { isChanging } from './jobs/sandbox.ts';
import { isSandboxAvailable } from './jobs/sandbox-probe.ts';
import { createLostJob } from './lost-job.ts';
import { hashOf } from './statements.ts';
import type { Permission, StatementStore } from './statements.ts';
import type { Admission, AgentTrust } from './trust/agent-trust.ts';
import type { Refusal, VerifiedOrder } from './trust/verify-delivery.ts';

/** Deliveries that are judged at once; a control plane that sends more is not waited for. */
const PENDING_MAX = 64;
/** Longer than an order may wait for its start and the ledger remembers it. */
const KEEP_SECONDS = 48 * 3600;

export interface JobIntakeOptions {
  config: Pick<AgentConfig, 'spoolCapBytes'>;
  mode: 'rescue' | 'resident';
  bwrapPath: string;
  trust: AgentTrust;
  jobs: Jobs;
  statements: StatementStore;
  reporter: Reporter;
  /** Milliseconds since the control plane was last heard. */
  silentForMs: () => number;
  /** An order was accepted: its authorization is known to hold. */
  onAccepted: () => void;
  log: Logger;
}

/**
 * Takes deliveries in: each is refused with a signed receipt, or its order is used up on disk, accepted,
 * and its job started. The same delivery twice gets the same answer twice and starts nothing.
 */
export class JobIntake {
  private readonly options: JobIntakeOptions;
  private readonly pending = new Map<string, Promise<void>>();
  /** Jobs that were admitted and are not yet among the jobs. */
  private readonly starting = new Map<string, Permission>();
  /** Stops that were asked for while the order was judged, or its job's folder made. */
  private readonly early = new Map<string, CancelMode>();
  private readonly unsubscribe: () => void;
  private hasSandbox = false;
  private isClosed = false;

  constructor(options: JobIntakeOptions) {
    this.options = options;
    this.unsubscribe = options.jobs.onAdded((job) => {
      const mode = this.early.get(job.id);
      if (mode !== undefined) this.stop(job, mode);
    });
  }

  take(delivery: Delivery): void {
    const { log } = this.options;
    if (this.isClosed || this.pending.has(delivery.job)) return;
    if (this.pending.size >= PENDING_MAX) {
      log.warn({ job: delivery.job.slice(0, 100) }, 'too many deliveries at once');
      return;
    }
    const taken = this.judge(delivery)
      .catch((error: unknown) => {
        log.error({ job: delivery.job.slice(0, 100), err: error }, 'a delivery was not judged');
      })
      .finally(() => {
        this.pending.delete(delivery.job);
        this.early.delete(delivery.job);
      });
    this.pending.set(delivery.job, taken);
  }

  /** Stops a job; one whose order is still being judged does not start. */
  cancel(id: string, mode: CancelMode): void {
    const job = this.options.jobs.get(id);
    if (job !== undefined) this.stop(job, mode);
    else if (this.pending.has(id) && this.early.get(id) !== 'now') this.early.set(id, mode);
  }

  /** Takes nothing more; resolves when what was taken is started or refused. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all(this.pending.values());
    this.unsubscribe();
  }

  private stop(job: Job, mode: CancelMode): void {
    job.cancel(mode, 'requested').catch((error: unknown) => {
      this.options.log.error({ job: job.id, err: error }, 'a job could not be stopped');
    });
  }

  private async judge(delivery: Delivery): Promise<void> {
    const { trust, statements, reporter } = this.options;
    const known = statements.get(delivery.job);
    const isSame = known?.permission != null || known?.orderHash === hashOf(delivery.order);
    if (known !== undefined && isSame) {
      reporter.repeat(delivery.job);
      return;
    }
    // Once it worked, it is asked no more: this stands before every job.
    this.hasSandbox ||= await isSandboxAvailable(this.options.bwrapPath);
    const admission = await trust.admit(delivery, (order) => this.lastCheck(order));
    if (admission.admitted) await this.accept(delivery, admission);
    else if (known === undefined && admission.usedUp !== null) {
      this.acceptLost(delivery, admission.usedUp);
    } else this.refuse(delivery, admission);
  }

  /** This agent died between using the order up and saying so: its job never starts, and says so. */
  private acceptLost(
    delivery: Delivery,
    { order, receipt }: { order: VerifiedOrder; receipt: Uint8Array },
  ): void {
    const { jobs, reporter, log } = this.options;
    const { job } = order.order;
    this.state(delivery, receipt, permissionOf(order));
    log.warn({ job }, 'used up before, and never started');
    if (jobs.get(job) === undefined) reporter.addLost(createLostJob(job, Date.now()));
    else reporter.repeat(job);
  }

  /** What only the agent knows. Nothing waits between this and the reservation it makes. */
  private lastCheck(verified: VerifiedOrder): Refusal | null {
    const { silentForMs, bwrapPath } = this.options;
    if (silentForMs() > wireLimits.leaseMs) {
      const detail =
        'the control plane was not heard for 60 s; what it said before may be outdated';
      return { reason: 'lease_expired', detail };
    }
    if (!this.hasSandbox) {
      const detail = `${bwrapPath} is missing or may make no namespaces: jobs run only in its sandbox`;
      return { reason: 'sandbox_unavailable', detail };
    }
    const permission = permissionOf(verified);
    const other = this.findHindering(permission);
    if (other !== null) {
      const detail =
        isAlone(permission) && !this.isChangingNow(other)
          ? `job ${other} runs on this server, and this one would cut it off`
          : `job ${other} is changing this server; two never do at once`;
      return { reason: 'busy_changing', detail };
    }
    this.starting.set(verified.order.job, permission);
    return null;
  }

  /** A job beside which this one may not begin. */
  private findHindering(permission: Permission): string | null {
    if (isAlone(permission)) return this.findRunning(() => true);
    return permission.isChanging ? this.findRunning((job) => this.isChangingNow(job)) : null;
  }

  private isChangingNow(job: string): boolean {
    const permission = this.starting.get(job) ?? this.options.statements.get(job)?.permission;
    return permission?.isChanging !== false;
  }

  private findRunning(fits: (job: string) => boolean): string | null {
    const { jobs } = this.options;
    const running = jobs.all().filter((job) => job.ended === null);
    return [...this.starting.keys(), ...running.map(({ id }) => id)].find(fits) ?? null;
  }

  private async accept(
    delivery: Delivery,
    admission: Extract<Admission, { admitted: true }>,
  ): Promise<void> {
    const { trust, jobs, statements, reporter, onAccepted, log } = this.options;
    const { order, sealedInputs, sessionKeys, receipt } = admission;
    const { job } = order.order;
    const permission = this.starting.get(job)!;
    try {
      this.state(delivery, receipt, permission);
    } catch (error) {
      this.starting.delete(job);
      const detail = `the receipt could not be kept: ${(error as Error).message}`;
      this.refuse(delivery, trust.refuse(delivery, { reason: 'journal_unwritable', detail }));
      return;
    }
    log.info({ job, action: order.order.action, mode: order.order.mode }, 'accepted');
    if (this.early.has(job)) {
      log.info({ job }, 'cancelled before it started');
      this.starting.delete(job);
      reporter.addLost(createLostJob(job, Date.now(), 'requested'));
      return;
    }
    try {
      await Promise.all([
        statements.sync(job),
        jobs.start(this.specOf(order), sealedInputs, sessionKeys),
      ]);
    } catch (error) {
      log.error({ job, err: error }, 'the job was not started');
      if (jobs.get(job) === undefined) reporter.addLost(createLostJob(job, Date.now()));
    } finally {
      this.starting.delete(job);
    }
    onAccepted();
  }

  private refuse(delivery: Delivery, refusal: Extract<Admission, { admitted: false }>): void {
    const { reporter, log } = this.options;
    const { reason, detail, receipt } = refusal;
    log.warn({ job: delivery.job.slice(0, 100), reason, detail }, 'refused');
    if (receipt === null) return;
    try {
      this.state(delivery, receipt, null);
    } catch (error) {
      log.warn({ job: delivery.job, err: error }, 'a refusal could not be kept');
    }
    reporter.repeat(delivery.job);
  }

  private state(delivery: Delivery, receipt: Uint8Array, permission: Permission | null): void {
    this.options.statements.put({
      job: delivery.job,
      orderHash: hashOf(delivery.order),
      receipt: Buffer.from(receipt).toString('base64'),
      permission,
      keepUntil: this.options.trust.clock.read().now + KEEP_SECONDS,
    });
  }

  private specOf(verified: VerifiedOrder): JobSpec {
    const { order, authorization, parameters, plan, policy } = verified;
    const credentialRecipient = recipientOf(verified);
    const { config, mode } = this.options;
    return {
      job: order.job,
      server: order.server,
      action: order.action,
      actionVersion: order.actionVersion,
      ticket: authorization.payload.ticket,
      mode: order.mode,
      parameters,
      target: targetOf(order),
      ...(order.target !== null && {
        expect: { hostname: order.expect.hostname, machineId: order.expect.machineId },
      }),
      plan: plan === null ? null : Buffer.from(plan.payloadBytes).toString('base64'),
      undoes: order.undoes,
      ...(credentialRecipient !== null && { credentialRecipient }),
      agentMode: mode,
      maxRuntimeSeconds: order.maxRuntimeSeconds,
      onDisconnect: order.onDisconnect,
      spoolCapBytes: config.spoolCapBytes,
      ...(policy['record-terminal-input'] && { recordInput: true }),
    };
  }
}

function isAlone({ action, mode }: Permission): boolean {
  return mode === 'apply' && findAction(action)?.alone === true;
}

function permissionOf({ order, action, authorization, engineers }: VerifiedOrder): Permission {
  const isUndo = order.mode === 'undo';
  const signers = isUndo ? [] : authorization.signers.map(keyFingerprint);
  const engineerKeys = engineers.map(({ fingerprint }) => fingerprint);
  return {
    action: order.action,
    mode: order.mode,
    isChanging: isChanging(action, order),
    plan: order.plan,
    grant: isUndo ? null : authorization.payload.id,
    grantExpiresAt: authorization.payload.expiresAt,
    keys: [...new Set([...signers, ...engineerKeys])],
    engineerKeys,
  };
}

/**
 * Whom new secrets are for. An attestation is an engineer's word, and no engineer may name whom a secret is
 * sealed to; an undo makes none.
 */
function recipientOf({ order, authorization }: VerifiedOrder): Grant['credentialRecipient'] {
  const named = authorization.payload.credentialRecipient;
  const isEngineersWord = authorization.kind === 'attestation' && named?.type === 'age';
  return order.mode === 'undo' || isEngineersWord ? null : named;
}

/** Without the fields that say nothing. */
function targetOf({ target }: VerifiedOrder['order']): JobSpec['target'] {
  if (target === null) return null;
  const said = Object.entries(target).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said as [string, string][]);
}
