import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pino from 'pino';
import { createTrustWorld } from '../../test/fixtures/trust-world.ts';
import type { TrustWorld, WorldDelivery } from '../../test/fixtures/trust-world.ts';
import { openDocument } from '../../proto/documents/document.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Receipt } from '../../proto/documents/kinds/receipt.ts';
import { RecordDecoder } from '../../proto/spool/record.ts';
import type { JobEnded__Output } from '../../proto/wire.ts';
import { Agent } from '../agent.ts';
import type { AgentConfig } from '../config.ts';
import { createKeys, saveIdentity } from '../connection/identity.ts';
import type { AgentIdentity } from '../connection/identity.ts';
import { FarEnd } from '../connection/testing/far-end.ts';
import type { FarSession } from '../connection/testing/far-end.ts';
import { collectFacts, identityOf } from '../facts.ts';
import { createJobs } from '../jobs/jobs.ts';
import { AgentTrust } from '../trust/agent-trust.ts';
import { PinnedTrust } from '../trust/pinned-trust.ts';
import { killRunners } from '../commands/lock.ts';

export const OPEN_POLICY = `version = 1
allow = ["*"]
highest-class = "C"
allow-steps-without-undo = true
`;

/**
 * An enrolled agent with real trust, real jobs and a real connection; the control plane is the test. The
 * agent can be stopped and started again on the same files.
 */
export class AgentWorld {
  readonly world: TrustWorld;
  readonly farEnd: FarEnd;
  readonly config: AgentConfig;
  readonly identity: AgentIdentity;
  /** What a control plane with a database says when it welcomes. */
  positions: object[] = [];
  bwrapPath = '/usr/bin/bwrap';
  private readonly folder: string;
  private agent: Agent | null = null;

  private constructor(
    world: TrustWorld,
    farEnd: FarEnd,
    config: AgentConfig,
    identity: AgentIdentity,
    folder: string,
  ) {
    this.world = world;
    this.farEnd = farEnd;
    this.config = config;
    this.identity = identity;
    this.folder = folder;
  }

  static async create(policy: string | null = OPEN_POLICY): Promise<AgentWorld> {
    const world = await createTrustWorld();
    const farEnd: FarEnd = await FarEnd.start({
      onSession: (session) => session.welcome(agentWorld.positions),
    });
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-ag-'));
    const config: AgentConfig = {
      addresses: [farEnd.address],
      stateDirectory: path.join(folder, 's'),
      configFile: path.join(folder, 'agent.toml'),
      policyFile: path.join(folder, 'policy.toml'),
      spoolCapBytes: 64 * 1024 * 1024,
      imageBuiltMs: null,
      logLevel: 'info',
    };
    mkdirSync(config.stateDirectory, { mode: 0o700 });
    if (policy !== null) writeFileSync(config.policyFile, policy, { mode: 0o600 });
    const keys = await createKeys();
    const certificate = await farEnd.authority.issueAgent(keys.certificateRequest);
    const identity: AgentIdentity = {
      ...keys,
      signer: world.agent.signer,
      signingKeyPem: world.agent.privateKeyPem,
      ageIdentity: world.agent.ageIdentity,
      ageRecipient: world.agent.ageRecipient,
      agentId: world.server.id,
      serverId: world.server.id,
      accountId: world.account.id,
      mode: 'resident',
      certificatePem: new X509Certificate(certificate).toString(),
      authorityPem: farEnd.authority.certificatePem,
    };
    await PinnedTrust.install(
      path.join(config.stateDirectory, 'trust'),
      world.account.id,
      {
        caPin: farEnd.pin,
        rootDigest: world.root.digest,
        accountKeysDigest: world.account.digest,
      },
      { rootChain: [world.root.envelope], accountKeys: [world.account.envelope] },
    );
    await saveIdentity(config.stateDirectory, identity);
    const agentWorld = new AgentWorld(world, farEnd, config, identity, folder);
    return agentWorld;
  }

  /** Starts an agent and gives the session it makes. */
  async start(): Promise<FarSession> {
    const { config, identity } = this;
    const index = this.farEnd.sessions.length;
    this.agent = await Agent.start({
      config,
      identity,
      bwrapPath: this.bwrapPath,
      trust: await this.openTrust(),
      jobs: createJobs({
        stateDirectory: config.stateDirectory,
        programDirectory: path.resolve(import.meta.dirname, '../..'),
        protectedPaths: [config.policyFile],
        log: { warn: () => {} },
      }),
      log: pino({ level: process.env['AGENT_TEST_LOG'] ?? 'silent' }),
    });
    return this.farEnd.session(index);
  }

  async openTrust(): Promise<AgentTrust> {
    const { config, identity } = this;
    return AgentTrust.open({
      stateDirectory: config.stateDirectory,
      policyFile: config.policyFile,
      policyOwner: process.getuid!(),
      self: { server: identity.serverId, account: identity.accountId, mode: identity.mode },
      signer: identity.signer,
      ageIdentity: identity.ageIdentity,
      facts: () => identityOf(collectFacts()),
      onTimeMarkError: () => {},
    });
  }

  get current(): Agent {
    return this.agent!;
  }

  async stop(): Promise<void> {
    await this.agent?.stop();
    this.agent = null;
  }

  async remove(): Promise<void> {
    await this.stop();
    await killRunners(this.config.stateDirectory);
    await this.farEnd.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A delivery of `command.run`, rightly signed, with a grant of its own. */
  command(argv: string[], changes: Partial<Order> = {}): WorldDelivery {
    return this.world.deliverValid({ action: 'command.run', parameters: { argv }, ...changes });
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  /** The last statement about a job, verified with the agent's key. */
  receipt(envelope: Uint8Array): Receipt {
    return openDocument('receipt', envelope, [this.world.agent.key]).payload;
  }

  async accepted(session: FarSession, job: string): Promise<Receipt> {
    const { receipt } = await session.next('receipt', (message) => message.jobId === job);
    return this.receipt(receipt!);
  }

  async ended(session: FarSession, job: string) {
    const message = await session.next('ended', (candidate) => candidate.jobId === job);
    const receipt = this.receipt(message.receipt!);
    if (receipt.statement !== 'ended') throw new Error(`not the end: ${receipt.statement}`);
    return { message, receipt, output: this.output(message) };
  }

  private output(ended: JobEnded__Output): string {
    const log = this.farEnd.log(ended.jobId!);
    for (const chunk of ended.tail!) log.take(chunk);
    const records = [...new RecordDecoder().push(log.committed)];
    return records
      .filter((record) => record.channel === 'out')
      .map((record) => record.payload.toString())
      .join('');
  }
}
