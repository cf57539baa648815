import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import type { Logger } from 'pino';
import { ensureFirstAdmin } from './accounts/first-admin.ts';
import { openCertificateAuthority } from './agents/certificate-authority.ts';
import { createApi } from './api.ts';
import { createLocalBus } from './cluster/bus.ts';
import type { ControlPlaneConfig } from './config.ts';
import { openDataFolder } from './data-folder.ts';
import type { DataFolder } from './data-folder.ts';
import { openDatabase } from './database/database.ts';
import type { Database } from './database/database.ts';
import { createEmbeddedPostgres, OWN_DATABASE } from './database/embedded-postgres.ts';
import { migrate } from './database/migrate.ts';
import { retryWhileUnavailable } from './database/retry.ts';
import { createAgentSide } from './grpc/agent-side.ts';
import { createHttpListener } from './http/listener.ts';
import { listening } from './listening.ts';
import { createServices } from './services.ts';

const root = path.dirname(import.meta.dirname);
/** What the build makes: installer and agent bundles. */
const INSTALLER_FOLDER = path.join(root, 'dist/agent');
/** The operator's database may come up together with us. */
const DATABASE_PATIENCE_MS = 60_000;

export interface ControlPlaneOptions {
  log: Logger;
  /** Told when the database answers and is migrated; `ms` since the start. */
  onDatabase?: (database: { embedded: boolean; migrated: number; ms: number }) => void;
}

/** Where a control plane that has started is found. */
export interface ControlPlaneAddresses {
  url: string;
  agentAddress: string;
  caPin: string;
  /** Where the first admin's token was written; null when there is an admin already. */
  newAdminTokenFile: string | null;
}

/** Lifecycle: `start` once, `drain` if wanted, `stop` once. What failed to start is stopped by itself. */
export interface ControlPlane {
  start(): Promise<ControlPlaneAddresses>;
  /** No new requests; long polls and streams end early. */
  drain(): void;
  /**
   * Drains; waits for requests, then for agents, who are sent away, as long as configured, and cuts what
   * is left; releases everything in the reverse order of the start.
   */
  stop(): Promise<void>;
}

export function createControlPlane(
  config: ControlPlaneConfig,
  { log, onDatabase }: ControlPlaneOptions,
): ControlPlane {
  const closing = new AbortController();
  const releases: { what: string; release: () => Promise<void> | void }[] = [];
  const onStop = (what: string, release: () => Promise<void> | void) =>
    void releases.push({ what, release });
  let starting: Promise<ControlPlaneAddresses> | undefined;
  let drainHttp = (): void => {};

  async function start(): Promise<ControlPlaneAddresses> {
    const { signal } = closing;
    const folder = await openDataFolder(config.dataDirectory);
    onStop('data folder', () => folder.release());
    signal.throwIfAborted();
    const database = await startDatabase(folder);
    const newAdmin = await ensureFirstAdmin(database, (token) =>
      folder.writeSecret(folder.adminTokenFile, `${token}\n`),
    );
    signal.throwIfAborted();
    const authority = await openCertificateAuthority(folder.certificateAuthority);

    const bus = createLocalBus();
    const services = createServices(database, bus);
    const addresses = { url: '', agentAddress: '' };
    const agentSide = createAgentSide({
      host: config.agents.host,
      port: config.agents.port,
      database,
      bus,
      authority,
      log,
      servers: services.servers,
      interventions: services.interventions,
      credentials: services.credentials,
      // Known once both listen, which is before anybody can ask.
      agentAddress: () => addresses.agentAddress,
      publicUrl: () => addresses.url,
      installerFolder: INSTALLER_FOLDER,
    });
    const api = createApi({
      services,
      database,
      log,
      version: readVersion(),
      closing: closing.signal,
      isSecure: config.http.tls !== null || config.http.publicUrl?.startsWith('https:') === true,
      registerMore: (app) => agentSide.registerRoutes(app),
    });
    onStop('metrics', () => api.close());
    const { host, port: wanted } = config.http;
    const http = createHttpListener({ app: api.app, host, port: wanted, ...readTls(config) });

    const agents = await listening('--agent-listen', config.agents, () => agentSide.start());
    onStop('agents', () => agentSide.stop(config.stopGraceMs));
    signal.throwIfAborted();
    addresses.agentAddress =
      config.agents.address ?? joinAddress(reachable(config.agents.host), agents.port);
    const { port } = await listening('--listen', config.http, () => http.start());
    onStop('http', () => http.stop(config.stopGraceMs));
    const scheme = config.http.tls === null ? 'http' : 'https';
    addresses.url = config.http.publicUrl ?? `${scheme}://${joinAddress(reachable(host), port)}`;
    drainHttp = () => http.drain();
    log.info({ ...addresses }, 'the control plane runs');
    return {
      ...addresses,
      caPin: authority.pin,
      newAdminTokenFile: newAdmin ? folder.adminTokenFile : null,
    };
  }

  async function startDatabase(folder: DataFolder): Promise<Database> {
    const started = performance.now();
    let connection: Parameters<typeof openDatabase>[0];
    if (config.databaseUrl === null) {
      const postgres = createEmbeddedPostgres({ directory: folder.postgres, log });
      onStop('database server', () => postgres.stop());
      // It may have to recover from a crash, for long; a stop does not wait for that.
      const cutShort = () => void postgres.stop().catch(() => {});
      closing.signal.addEventListener('abort', cutShort);
      await postgres.start();
      closing.signal.removeEventListener('abort', cutShort);
      connection = await postgres.connection(OWN_DATABASE);
    } else {
      connection = { connectionString: config.databaseUrl };
    }
    const database = openDatabase(connection);
    onStop('database connections', () => database.close());
    const migrated = await retryWhileUnavailable(() => migrate(database), {
      signal: closing.signal,
      limitMs: DATABASE_PATIENCE_MS,
      onRetry: (error) => log.warn({ err: error }, 'waiting for the database'),
    });
    const embedded = config.databaseUrl === null;
    onDatabase?.({ embedded, migrated, ms: performance.now() - started });
    return database;
  }

  /** In reverse order, all of them even when one fails; the first failure is thrown at the end. */
  async function releaseAll(): Promise<void> {
    const failures: unknown[] = [];
    for (const { what, release } of releases.splice(0).toReversed()) {
      try {
        await release();
      } catch (error) {
        log.error({ err: error, what }, 'could not be stopped cleanly');
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  const drain = (): void => {
    closing.abort();
    drainHttp();
  };

  return {
    start: () => {
      starting = start().catch(async (error: unknown) => {
        await releaseAll().catch(() => {});
        throw error;
      });
      return starting;
    },
    drain,
    stop: async () => {
      drain();
      await starting?.catch(() => {});
      await releaseAll();
      log.info('the control plane has stopped');
    },
  };
}

function readVersion(): string {
  const manifest = readFileSync(path.join(root, 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

function readTls({ http: { tls } }: ControlPlaneConfig): { tls?: { cert: string; key: string } } {
  if (tls === null) return {};
  return {
    tls: { cert: readFileSync(tls.certFile, 'utf8'), key: readFileSync(tls.keyFile, 'utf8') },
  };
}

/** Where others reach what listens on this host: for "any address", the first one of this machine. */
function reachable(host: string): string {
  if (host !== '0.0.0.0' && host !== '::') return host;
  const family = host === '::' ? 'IPv6' : 'IPv4';
  const own = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find((entry) => !entry.internal && entry.family === family && !entry.scopeid);
  return own?.address ?? (family === 'IPv6' ? '::1' : '127.0.0.1');
}

function joinAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
