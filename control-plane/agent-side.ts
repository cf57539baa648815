import type { Logger } from 'pino';
import { AgentSessions } from './agents/agent-sessions.ts';
import { AgentTrust } from './agents/agent-trust.ts';
import type { CertificateAuthority } from './agents/certificate-authority.ts';
import { createEnrollAgent } from './agents/enroll-agent.ts';
import { createEnrollments } from './agents/enrollments.ts';
import { createInstallerFiles } from './agents/installer-files.ts';
import { createRenewCertificate } from './agents/renew-certificate.ts';
import { registerAgentRoutes } from './agents/routes.ts';
import type { Bus } from './cluster/bus.ts';
import type { Database } from './database/database.ts';
import { createAgentService } from './grpc/agent-service.ts';
import { createAgentListener } from './grpc/listener.ts';
import type { AgentListener } from './grpc/listener.ts';
import type { HttpApp } from './http/environment.ts';
import { AgentJobs } from './jobs/agent-jobs.ts';
import { JobExpiry } from './jobs/expire-jobs.ts';
import { JobProgress } from './jobs/job-progress.ts';
import { createJobsService } from './jobs/jobs-service.ts';
import { OrderSigners } from './jobs/order-signers.ts';
import { registerJobRoutes } from './jobs/routes.ts';
import { createStopJob } from './jobs/stop-job.ts';
import { createSubmitJob } from './jobs/submit-job.ts';
import { LogVerifier } from './jobs/verify-logs.ts';
import { createLogPartitions, keepLogPartitions } from './logs/log-partitions.ts';
import { LogUploads } from './logs/log-uploads.ts';
import { registerLogRoutes } from './logs/routes.ts';
import type { Services } from './services.ts';

export interface AgentSideOptions {
  database: Database;
  bus: Bus;
  authority: CertificateAuthority;
  log: Logger;
  host: string;
  /** 0 takes a free one. */
  port: number;
}

export interface AgentSideRoutesOptions {
  /** What the build makes for servers: installer and bundles. */
  installerFolder: string;
  agentAddress: () => string;
  publicUrl: () => string;
}

/** Jobs and logs, and the agents that carry them out: everything behind the address agents dial. */
export interface AgentSide {
  registerRoutes(app: HttpApp, services: Services, options: AgentSideRoutesOptions): void;
  start(): Promise<{ port: number }>;
  /** Sends agents away, to come again later, and takes no new ones. */
  drain(): Promise<void>;
  /** Waits for what agents have said to be stored, `graceMs` at most. */
  stop(graceMs: number): Promise<void>;
}

export function createAgentSide(options: AgentSideOptions): AgentSide {
  const { database, bus, authority, log } = options;
  const sessions = new AgentSessions({ database, log });
  const trust = new AgentTrust({ queries: database, bus, log });
  const signers = new OrderSigners(database);
  const progress = new JobProgress(bus);
  const uploads = new LogUploads({ database, bus });
  const expiry = new JobExpiry({ database, bus, log });
  const verifier = new LogVerifier({ database, bus, log });
  const onMustVerifyLog = () => verifier.look();
  const agentJobs = new AgentJobs({ database, bus, signers, progress, onMustVerifyLog, log });
  const jobs = createJobsService({
    database,
    bus,
    progress,
    stopJob: createStopJob({ database, bus }),
    submitJob: createSubmitJob({
      database,
      bus,
      signers,
      onQueued: (startBefore) => expiry.at(startBefore),
    }),
  });
  const service = createAgentService({
    enrollAgent: createEnrollAgent({ database, authority, sessions }),
    renewCertificate: createRenewCertificate({ database, authority, sessions }),
    sessions,
    trust,
    jobs: agentJobs,
    uploads,
    log,
  });
  const listener: AgentListener = createAgentListener({
    host: options.host,
    port: options.port,
    authority,
    sessions,
    queries: database,
    handlers: service.handlers,
    log,
  });
  const tasks = [sessions, trust, expiry, verifier, agentJobs];
  let stopPartitions = () => {};

  return {
    registerRoutes: (app, services, { installerFolder, ...addresses }) => {
      const installer = createInstallerFiles(installerFolder);
      const { servers } = services;
      const createEnrollment = createEnrollments({
        database,
        authority,
        installer,
        servers,
        ...addresses,
      });
      registerAgentRoutes(app, { queries: database, createEnrollment, installer });
      registerJobRoutes(app, { jobs, bus, ...services });
      registerLogRoutes(app, { queries: database, bus, uploads, jobs });
    },
    start: async () => {
      await createLogPartitions(database);
      stopPartitions = keepLogPartitions(database, log);
      for (const task of tasks) task.start();
      return listener.start();
    },
    drain: async () => {
      listener.refuse();
      await service.drain();
    },
    stop: async (graceMs) => {
      await listener.stop(graceMs);
      stopPartitions();
      for (const task of tasks.toReversed()) await task.stop();
    },
  };
}
