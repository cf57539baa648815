import type { Logger } from 'pino';
import { registerAccountRoutes } from './accounts/routes.ts';
import { createAgentsOf } from './agents/routes.ts';
import { registerAuditRoutes } from './audit/routes.ts';
import { registerGrantRoutes } from './authorizations/grant-routes.ts';
import { registerTrustRoutes } from './authorizations/trust-routes.ts';
import type { Database } from './database/database.ts';
import { isMigrated, readMigrations } from './database/migrate.ts';
import { registerActionRoutes } from './http/action-routes.ts';
import { createHttpApp } from './http/app.ts';
import type { HttpApp } from './http/environment.ts';
import { registerHealthRoutes } from './http/health-routes.ts';
import { createMetrics } from './http/metrics.ts';
import { registerOpenApi } from './http/openapi.ts';
import { registerProcessMetrics } from './http/process-metrics.ts';
import { registerInterventionRoutes } from './interventions/routes.ts';
import { registerServerRoutes } from './servers/routes.ts';
import type { Services } from './services.ts';

export interface ApiOptions {
  services: Services;
  database: Database;
  log: Logger;
  version: string;
  /** Aborted when the control plane is about to stop. */
  closing: AbortSignal;
  isSecure?: boolean;
  /** Adds the routes of agents, jobs and logs. */
  registerMore: (app: HttpApp) => void;
}

export interface Api {
  app: HttpApp;
  close(): void;
}

/** The whole REST interface. */
export function createApi(options: ApiOptions): Api {
  const { services, database, version } = options;
  const metrics = createMetrics();
  const own = registerProcessMetrics(metrics, database, version);
  const app = createHttpApp({
    authenticate: (token) => services.accounts.authenticate(token),
    log: options.log,
    closing: options.closing,
    isSecure: options.isSecure ?? false,
    onRequest: (request) => own.countRequest(request),
  });
  const migrations = readMigrations();
  registerHealthRoutes(app, { metrics, isReady: () => isMigrated(database, migrations) });
  registerAccountRoutes(app, services.accounts);
  registerServerRoutes(app, services.servers, createAgentsOf(database));
  registerTrustRoutes(app, services.trust);
  registerGrantRoutes(app, services.grants, services.revocations);
  registerInterventionRoutes(app, services.interventions);
  registerAuditRoutes(app, services.audit);
  registerActionRoutes(app);
  options.registerMore(app);
  registerOpenApi(app, version);
  return { app, close: () => own.close() };
}
