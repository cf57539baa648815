import path from 'node:path';
import type { Logger } from 'pino';
import { actions, findAction } from '../proto/actions/catalogue.ts';
import { documentKinds, mediaType } from '../proto/documents/document.ts';
import { keyFingerprint } from '../proto/documents/keys.ts';
import type { AgentConfig } from './config.ts';
import { ControlPlaneConnection } from './connection/connection.ts';
import type { Greeting, Incoming } from './connection/courier.ts';
import { saveCertificate } from './connection/identity.ts';
import type { AgentIdentity } from './connection/identity.ts';
import { Reporter } from './connection/report.ts';
import type { Session } from './connection/session.ts';
import { TerminalRelays } from './connection/terminal-relay.ts';
import { stateEnd } from './end-statement.ts';
import { collectFacts, readBootId } from './facts.ts';
import { ReachWatch } from './guard/reach-watch.ts';
import { JobIntake } from './job-intake.ts';
import type { Job, Jobs } from './jobs/job.ts';
import { createLostJob } from './lost-job.ts';
import { StatementStore } from './statements.ts';
import { readStartTicks, writeStatus } from './status-file.ts';
import type { AgentStatus } from './status-file.ts';
import { StopRules } from './stop-rules.ts';
import type { AgentTrust } from './trust/agent-trust.ts';
import { isLocked, watchLock } from './trust/lock.ts';
import { AGENT_VERSION } from './version.ts';

const STATUS_AFTER_MS = 50;
const STATUS_EVERY_MS = 10_000;
const PRUNE_EVERY_MS = 3_600_000;

export interface AgentParts {
  config: AgentConfig;
  identity: AgentIdentity;
  trust: AgentTrust;
  jobs: Jobs;
  log: Logger;
  /** Default `/usr/bin/bwrap`. */
  bwrapPath?: string;
  onStatus?: (status: AgentStatus) => void;
}

/**
 * The core: listens to the control plane, lets `trust` judge, starts jobs, and reports them. It holds
 * nothing that is not on disk: killed at any moment, the next one goes on.
 */
export class Agent {
  private readonly parts: AgentParts;
  private readonly statements: StatementStore;
  private readonly reporter: Reporter;
  private readonly connection: ControlPlaneConnection;
  private readonly intake: JobIntake;
  private readonly reachWatch: ReachWatch;
  private readonly terminals: TerminalRelays;
  private readonly stopRules: StopRules;
  private readonly startTicks = readStartTicks(process.pid);
  private readonly closing: (() => void)[] = [];
  private connectionSince = Date.now();
  private statusTimer: NodeJS.Timeout | null = null;

  private constructor(parts: AgentParts) {
    const { config, identity, trust, jobs, log } = parts;
    this.parts = parts;
    const folder = path.join(config.stateDirectory, 'trust/statements');
    this.statements = StatementStore.open(folder, trust.clock.read().now);
    this.reporter = new Reporter({
      jobs,
      recall: (job) =>
        this.statements.get(job)?.permission == null ? null : this.parts.jobs.recall(job),
      statements: {
        receiptOf: (job) => this.receiptOf(job),
        endOf: (job) => this.endOf(job),
      },
      onDone: (job) => this.statements.setDone(job),
      log,
    });
    this.connection = new ControlPlaneConnection({
      addresses: config.addresses,
      identity,
      nowMs: () => trust.clock.nowMs(),
      greeting: () => this.greet(),
      isBusy: () => this.reporter.unfinished.length > 0,
      onMessage: (message, session) => this.hear(message, session),
      onWritable: () => this.reporter.pump(),
      onState: (state) => {
        this.connectionSince = Date.now();
        if (state !== 'connected') this.reporter.detach();
        jobs.setConnected(state === 'connected');
        if (state === 'connected') this.reachWatch.connected();
        this.noteStatus();
      },
      saveCertificate: (pem) => saveCertificate(config.stateDirectory, pem),
      log,
    });
    this.reachWatch = new ReachWatch({
      guardedJobs: () => jobs.all().filter((job) => job.ended === null && this.mayBeGuarded(job)),
      reconnect: (why) => this.connection.reconnect(why),
      onError: (job, error) => log.error({ job, err: error }, 'a guard could not be marked'),
    });
    this.terminals = new TerminalRelays({ jobs, log });
    const isLockedNow = () => isLocked(config.stateDirectory);
    this.stopRules = new StopRules({
      trust,
      jobs,
      statements: this.statements,
      isLocked: isLockedNow,
      log,
    });
    this.intake = new JobIntake({
      config,
      mode: identity.mode,
      bwrapPath: parts.bwrapPath ?? '/usr/bin/bwrap',
      trust,
      jobs,
      statements: this.statements,
      reporter: this.reporter,
      silentForMs: () => this.connection.silentForMs,
      onAccepted: () => {
        // The lock may have come while the runner was started.
        if (isLockedNow()) this.onLock(true);
        this.stopRules.apply();
      },
      log,
    });
  }

  /** Goes on with the jobs that are there, then connects. */
  static async start(parts: AgentParts): Promise<Agent> {
    await parts.jobs.load();
    const agent = new Agent(parts);
    agent.begin();
    return agent;
  }

  get status(): AgentStatus {
    const { identity, jobs, config } = this.parts;
    const { silentForMs } = this.connection;
    return {
      version: AGENT_VERSION,
      pid: process.pid,
      startTicks: this.startTicks,
      agentId: identity.agentId,
      serverId: identity.serverId,
      accountId: identity.accountId,
      mode: identity.mode,
      agentKey: keyFingerprint(identity.signer.key),
      connection: this.connection.state,
      address: this.connection.address,
      connectionSince: this.connectionSince,
      heardAt: Number.isFinite(silentForMs) ? Math.round(Date.now() - silentForMs) : null,
      certificateEnds: this.connection.certificateEndsMs,
      locked: isLocked(config.stateDirectory),
      jobs: jobs.all().map((job) => {
        const permission = this.statements.get(job.id)?.permission;
        return {
          id: job.id,
          action: permission?.action ?? '',
          mode: permission?.mode ?? '',
          state: job.ended === null ? ('running' as const) : ('ended' as const),
          outcome: job.ended?.outcome ?? null,
        };
      }),
      updatedAt: Date.now(),
    };
  }

  /** Lets go of everything; runners live on. */
  async stop(): Promise<void> {
    const { jobs, trust } = this.parts;
    for (const close of this.closing) close();
    this.stopRules.close();
    this.reachWatch.close();
    await this.connection.stop();
    this.terminals.close();
    await this.intake.close();
    this.reporter.close();
    await jobs.close();
    await trust.close();
    if (this.statusTimer !== null) clearTimeout(this.statusTimer);
    this.writeStatus();
  }

  private begin(): void {
    const { config, jobs } = this.parts;
    for (const { job, permission, isDone } of this.statements.all()) {
      if (isDone || jobs.get(job) !== undefined) continue;
      if (permission === null) this.reporter.repeat(job);
      else this.reporter.addLost(createLostJob(job, Date.now()));
    }
    const watchJob = (job: Job) =>
      job.onChange(() => {
        this.reachWatch.look();
        if (job.ended !== null) this.noteStatus();
      });
    jobs.all().forEach(watchJob);
    const pruneEvery = setInterval(() => this.prune(), PRUNE_EVERY_MS);
    const statusEvery = setInterval(() => this.noteStatus(), STATUS_EVERY_MS);
    this.closing.push(
      jobs.onAdded((job) => {
        watchJob(job);
        // A revocation may have come since its order was judged.
        this.stopRules.apply();
        this.noteStatus();
      }),
      watchLock(config.stateDirectory, (locked) => this.onLock(locked)),
      () => clearInterval(statusEvery),
      () => clearInterval(pruneEvery),
    );
    if (isLocked(config.stateDirectory)) this.onLock(true);
    this.stopRules.apply();
    this.connection.start();
    this.writeStatus();
  }

  private mayBeGuarded(job: Job): boolean {
    const permission = this.statements.get(job.id)?.permission;
    return permission?.mode === 'apply' && findAction(permission.action)?.guarded === true;
  }

  private prune(): void {
    const over = this.statements.prune(this.parts.trust.clock.read().now);
    for (const job of over) this.reporter.forgetRefusal(job);
  }

  private hear(message: Incoming, session: Session): void {
    const { trust, log } = this.parts;
    switch (message.type) {
      case 'welcome':
        this.reporter.attach(session, message.positions);
        break;
      case 'delivery':
        this.intake.take(message.delivery);
        break;
      case 'cancel':
        log.info({ job: message.job, mode: message.mode }, 'asked to stop a job');
        this.intake.cancel(message.job, message.mode);
        break;
      case 'revocations':
        this.inBackground(trust.replaceRevocations(message), 'revocations');
        this.stopRules.apply();
        break;
      case 'acknowledged':
        this.reporter.acknowledge(message.acknowledged);
        break;
      case 'terminal':
        this.terminals.open(message.job, message.attachment, session);
        break;
      case 'trust':
        this.inBackground(trust.acceptTrust(message), 'trust update');
        break;
      case 'drain':
      case 'heartbeat':
        break;
    }
  }

  private inBackground(work: Promise<unknown> | undefined, what: string): void {
    work?.catch((error: unknown) => this.parts.log.error({ err: error, what }, 'failed'));
  }

  private onLock(locked: boolean): void {
    const { jobs, log } = this.parts;
    log.warn({ locked }, locked ? 'locked by local root' : 'unlocked by local root');
    if (locked) this.inBackground(jobs.killAll('locked'), 'lock');
    this.stopRules.apply();
    this.connection.reconnect(locked ? 'locked' : 'unlocked');
    this.noteStatus();
  }

  private receiptOf(job: string): Uint8Array | null {
    const receipt = this.statements.get(job)?.receipt;
    return receipt === undefined ? null : Buffer.from(receipt, 'base64');
  }

  private endOf(job: Job) {
    const { trust, identity } = this.parts;
    const statement = this.statements.get(job.id);
    if (statement?.permission == null) throw new Error('no order of this job was accepted');
    const { permission, ended } = statement;
    return stateEnd(job, {
      permission,
      signer: identity.signer,
      sign: (content) => {
        if (ended !== null) return ended;
        const receipt = trust.ended(Buffer.from(statement.receipt, 'base64'), content);
        this.statements.setEnded(job.id, receipt);
        return receipt;
      },
    });
  }

  private greet(): Greeting {
    const { config, identity } = this.parts;
    return {
      facts: collectFacts(),
      mode: identity.mode,
      documentTypes: documentKinds.map(mediaType),
      actions: actions.map(({ id, version }) => ({ id, version })),
      knownJobs: this.reporter.greeted,
      bootId: readBootId(),
      locked: isLocked(config.stateDirectory),
      ageRecipient: identity.ageRecipient,
    };
  }

  private noteStatus(): void {
    this.statusTimer ??= setTimeout(() => {
      this.statusTimer = null;
      this.writeStatus();
    }, STATUS_AFTER_MS);
  }

  private writeStatus(): void {
    const { status } = this;
    writeStatus(this.parts.config.stateDirectory, status);
    this.parts.onStatus?.(status);
  }
}
