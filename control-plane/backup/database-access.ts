import { existsSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import type { Logger } from 'pino';
import { DataFolderInUseError, openDataFolder } from '../data-folder.ts';
import {
  connectionToRunning,
  createEmbeddedPostgres,
  OWN_DATABASE,
} from '../database/embedded-postgres.ts';

/** Which control plane's data is meant. */
export interface Source {
  data: string;
  /** The operator's PostgreSQL; null for the embedded one. */
  databaseUrl: string | null;
  log: Logger;
}

export interface OpenClient {
  client: pg.Client;
  close: () => Promise<void>;
}

/** Thrown when a folder is not the data folder of a control plane. */
export class NoDataError extends Error {
  override name = 'NoDataError';
}

/**
 * A connection to the database of a control plane, whether it runs or not: the embedded server is started when
 * nobody runs it, and ended again.
 */
export async function openSource({ data, databaseUrl, log }: Source): Promise<OpenClient> {
  if (!existsSync(path.join(data, 'ca/ca.key'))) {
    throw new NoDataError(`${data} is not the data folder of a control plane`);
  }
  if (databaseUrl !== null) return connect({ connectionString: databaseUrl }, () => {});
  let folder;
  try {
    folder = await openDataFolder(data, { patienceMs: 0 });
  } catch (error) {
    if (!(error instanceof DataFolderInUseError)) throw error;
    const running = connectionToRunning(path.join(data, 'postgres'), OWN_DATABASE);
    return connect(running.connection, running.close);
  }
  const held = folder;
  const postgres = createEmbeddedPostgres({ directory: folder.postgres, log });
  const end = async () => {
    await postgres.stop();
    await held.release();
  };
  try {
    await postgres.start();
    return await connect(await postgres.connection(OWN_DATABASE), end);
  } catch (error) {
    await end();
    throw error;
  }
}

/** Without the time limits of everyday statements: a backup takes its time. */
export async function connect(
  config: pg.ClientConfig,
  after: () => void | Promise<void>,
): Promise<OpenClient> {
  const client = new pg.Client({
    connectionTimeoutMillis: 15_000,
    application_name: 'intervene backup',
    ...config,
  });
  // What breaks between two statements is told by the next one.
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('set statement_timeout = 0; set idle_in_transaction_session_timeout = 0');
  } catch (error) {
    await client.end().catch(() => {});
    await after();
    throw error;
  }
  return {
    client,
    close: async () => {
      await client.end().catch(() => {});
      await after();
    },
  };
}
