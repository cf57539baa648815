import type { Logger } from 'pino';
import { AgentSessions } from '../agents/agent-sessions.ts';
import { AgentTrust } from '../agents/agent-trust.ts';
import { requireSameAuthority } from '../agents/authority-record.ts';
import type { CertificateAuthority } from '../agents/certificate-authority.ts';
import { createEnrollAgent } from '../agents/enroll-agent.ts';
import { createEnrollments } from '../agents/enrollments.ts';
import { createInstallerFiles } from '../agents/installer-files.ts';
import { createRenewCertificate } from '../agents/renew-certificate.ts';
import { registerAgentRoutes } from '../agents/routes.ts';
import type { Bus } from '../cluster/bus.ts';
import { CredentialSweep } from '../credentials/credential-sweep.ts';
import type { CredentialsService } from '../credentials/credentials-service.ts';
import { registerCredentialRoutes } from '../credentials/routes.ts';
import type { Database } from '../database/database.ts';
import type { HttpApp } from '../http/environment.ts';
import type { InterventionsService } from '../interventions/interventions-service.ts';
import { AgentJobs } from '../jobs/agent-jobs.ts';
import { createApproveJob } from '../jobs/approve-job.ts';
import { JobExpiry } from '../jobs/expire-jobs.ts';
import { JobProgress } from '../jobs/job-progress.ts';
import { createJobsService } from '../jobs/jobs-service.ts';
import type { JobsService } from '../jobs/jobs-service.ts';
import { OrderSigners } from '../jobs/order-signers.ts';
import { registerJobRoutes } from '../jobs/routes.ts';
import { createStopJob } from '../jobs/stop-job.ts';
import { createSubmitJob } from '../jobs/submit-job.ts';
import { LogVerifier } from '../jobs/verify-logs.ts';
import { createLogPartitions, keepLogPartitions } from '../logs/log-partitions.ts';
import { LogUploads } from '../logs/log-uploads.ts';
import { registerLogRoutes } from '../logs/routes.ts';
import type { ServersService } from '../servers/servers-service.ts';
import { registerTerminalRoutes } from '../terminals/routes.ts';
import { TerminalsService } from '../terminals/terminals-service.ts';
import { createAgentService } from './agent-service.ts';
import type { ConnectionLimits } from './connection-limits.ts';
import { createAgentListener } from './listener.ts';

export interface AgentSideOptions {
  database: Database;
  bus: Bus;
  authority: CertificateAuthority;
  servers: Pick<ServersService, 'resolve'>;
  interventions: Pick<InterventionsService, 'resolve'>;
  credentials: CredentialsService;
  log: Logger;
  /** Where to listen for agents; port 0 takes a free one. */
  host: string;
  port: number;
  /** `host:port` that agents dial; asked when an enrolment is made. */
  agentAddress: () => string;
  /** Where installers are fetched from, without a slash at the end; likewise. */
  publicUrl: () => string;
  /** What the build made for servers: `install.sh` and the bundles. */
  installerFolder: string;
  limits?: Partial<ConnectionLimits>;
}

/** Everything between agents and the database, and the routes that belong to it. */
export interface AgentSide {
  readonly jobs: JobsService;
  readonly sessions: AgentSessions;
  /** Open connections, those in their handshake included. */
  readonly connections: number;
  registerRoutes(app: HttpApp): void;
  /** Listens; returns where. Throws AuthorityMismatchError for a database of another installation. */
  start(): Promise<{ host: string; port: number }>;
  /** Sends the agents away, waits until calls have ended, `graceMs` at most, and closes everything. */
  stop(graceMs: number): Promise<void>;
}

export function createAgentSide(options: AgentSideOptions): AgentSide {
  const { database, bus, authority, log, servers, interventions } = options;
  const sessions = new AgentSessions({ database, log });
  const uploads = new LogUploads({ database, bus });
  const signers = new OrderSigners(database);
  const trust = new AgentTrust({
    queries: database,
    bus,
    log,
    certificationsOf: (fingerprints) => signers.envelopesFor(fingerprints),
  });
  const progress = new JobProgress(bus);
  const verifier = new LogVerifier({ database, bus, log });
  const sweep = new CredentialSweep({ queries: database, log });
  const expiry = new JobExpiry({ database, bus, log });
  const agentJobs = new AgentJobs({
    database,
    bus,
    signers,
    progress,
    onMustVerifyLog: () => verifier.look(),
    log,
  });
  const jobs = createJobsService({
    database,
    bus,
    submitJob: createSubmitJob({ database, bus, signers, onWaiting: (at) => expiry.at(at) }),
    approveJob: createApproveJob({ database, bus, signers }),
    stopJob: createStopJob({ database, bus }),
    progress,
  });
  const terminals = new TerminalsService({
    jobs,
    queries: database,
    findSession: (agentId) => sessions.find(agentId),
    log,
  });
  const service = createAgentService({
    sessions,
    trust,
    uploads,
    terminals,
    jobs: agentJobs,
    log,
    enrollAgent: createEnrollAgent({ database, authority, sessions }),
    renewCertificate: createRenewCertificate({ database, authority, sessions }),
  });
  const listener = createAgentListener({
    host: options.host,
    port: options.port,
    authority,
    sessions,
    queries: database,
    handlers: service.handlers,
    log,
    ...(options.limits && { limits: options.limits }),
  });
  const installer = createInstallerFiles(options.installerFolder);
  const createEnrollment = createEnrollments({ ...options, installer });
  let stopPartitions = () => {};

  return {
    jobs,
    sessions,
    get connections() {
      return listener.connections;
    },
    registerRoutes: (app) => {
      registerAgentRoutes(app, { queries: database, createEnrollment, installer });
      registerJobRoutes(app, { jobs, servers, interventions, bus });
      registerCredentialRoutes(app, { credentials: options.credentials, servers, jobs });
      registerTerminalRoutes(app, terminals);
      registerLogRoutes(app, { jobs, database, queries: database, bus, uploads });
    },
    start: async () => {
      await requireSameAuthority(database, authority);
      await createLogPartitions(database);
      stopPartitions = keepLogPartitions(database, log);
      for (const part of [sessions, trust, agentJobs, expiry, sweep, verifier]) part.start();
      return listener.start();
    },
    stop: async (graceMs) => {
      listener.refuse();
      await service.drain();
      await listener.stop(graceMs);
      await service.settled();
      stopPartitions();
      for (const part of [sessions, trust, agentJobs, expiry, sweep]) part.stop();
      await verifier.stop();
    },
  };
}
