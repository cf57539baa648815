import { closeSync, openSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { removeOtherBinaries } from './postgres-binaries.ts';
import { prepareData, startServer, writeAccessFiles } from './postgres-data.ts';
import { findPostmaster, removeStaleLock } from './postmaster.ts';
import type { Postmaster } from './postmaster.ts';

/** What the control plane keeps everything in, on a server of its own. */
export const OWN_DATABASE = 'intervene';

export interface EmbeddedPostgresOptions {
  /** Holds the data, a copy of the program and the server's log. Created when absent. */
  directory: string;
  log: Logger;
  /** A PostgreSQL installation to run instead of the bundled one; it is not copied. */
  installation?: string;
  /** Server settings over the default ones. */
  settings?: Record<string, string>;
}

/** A real PostgreSQL server of our own, on a Unix socket that only we may use. */
export interface EmbeddedPostgres {
  /**
   * Starts the server, or takes over one that a killed control plane left running, and keeps it running
   * until `stop`. Settles when it answers. Throws when it cannot be started.
   */
  start(): Promise<void>;
  /** Ends the server cleanly (fast shutdown) and waits for it; cuts a start short. */
  stop(): Promise<void>;
  /** Where it answers; creates the database when it does not exist. */
  connection(database: string): Promise<pg.PoolConfig>;
}

const READY_POLL_MS = 20;
const BACKOFF_MS = { first: 100, most: 5_000 };
/** Tries of the first start: processes of a killed server may hold its memory for a moment. */
const FIRST_TRIES = 6;
const STOP_MS = 60_000;
/** A socket's path takes 107 bytes at most, its own name included. */
const SOCKET_FOLDER_MAX_BYTES = 107 - '/.s.PGSQL.5432'.length;

export function createEmbeddedPostgres(options: EmbeddedPostgresOptions): EmbeddedPostgres {
  const directory = path.resolve(options.directory);
  const data = path.join(directory, 'data');
  const stopping = new AbortController();
  let current: Postmaster | undefined;
  let starting: Promise<void> | undefined;
  let supervised: Promise<void> = Promise.resolve();
  let socketFolder: SocketFolder | undefined;

  const connectionTo = (database: string): pg.PoolConfig => ({
    host: (socketFolder ??= openSocketFolder(data)).path,
    port: 5432,
    user: 'postgres',
    database,
  });

  async function launch(): Promise<Postmaster> {
    const prepared = await prepareData(directory, data, options.installation);
    writeAccessFiles(directory, prepared.launcher);
    stopping.signal.throwIfAborted();
    if (findPostmaster(data) === undefined) await removeStaleLock(data);
    const running = findPostmaster(data);
    if (running === undefined && options.installation === undefined) {
      removeOtherBinaries(directory, prepared.binaries.folder);
    }
    const postmaster =
      running ?? (await startServer(directory, data, prepared, options.settings ?? {}));
    await untilReady(connectionTo('postgres'), postmaster, directory, stopping.signal);
    return postmaster;
  }

  async function launchAgain(): Promise<Postmaster | undefined> {
    for (let delay = BACKOFF_MS.first; ; delay = Math.min(delay * 2, BACKOFF_MS.most)) {
      if (stopping.signal.aborted) return undefined;
      try {
        return await launch();
      } catch (error) {
        options.log.error({ err: error, retryInMs: delay }, 'the database does not start');
        await sleep(delay, undefined, { signal: stopping.signal }).catch(() => {});
      }
    }
  }

  const asked = new Promise<null>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(null), { once: true });
  });

  async function supervise(): Promise<void> {
    while (current !== undefined) {
      const how = await Promise.race([current.exited, asked]);
      if (how === null) return;
      options.log.warn({ pid: current.pid, how }, 'the database ended; starting it again');
      current = await launchAgain();
    }
  }

  async function start(): Promise<void> {
    for (let attempt = 1; current === undefined; attempt++) {
      try {
        current = await launch();
      } catch (error) {
        if (!(error instanceof ServerEndedError) || attempt === FIRST_TRIES) throw error;
        await sleep(BACKOFF_MS.first * attempt, undefined, { signal: stopping.signal });
      }
    }
    options.log.info({ pid: current.pid, adopted: current.adopted }, 'the database answers');
    supervised = supervise();
  }

  return {
    start: () => {
      if (starting !== undefined) throw new Error('the database was started already');
      starting = start();
      return starting;
    },
    stop: async () => {
      stopping.abort();
      await starting?.catch(() => {});
      await supervised;
      const running = findPostmaster(data);
      // Our own child tells at once that it is gone; one we took over is polled.
      const postmaster = running?.pid === current?.pid ? current : running;
      if (postmaster !== undefined) await endServer(postmaster, options.log);
      socketFolder?.close();
    },
    connection: async (database) => {
      await createDatabase(connectionTo('postgres'), database);
      return connectionTo(database);
    },
  };
}

/** Thrown when the server ends instead of becoming ready; the message has the end of its log. */
class ServerEndedError extends Error {
  override name = 'ServerEndedError';
}

/** Recovery after a crash may take its time: as long as the server lives, it is waited for. */
async function untilReady(
  connection: pg.ClientConfig,
  postmaster: Postmaster,
  directory: string,
  signal: AbortSignal,
): Promise<void> {
  let ended: string | undefined;
  void postmaster.exited.then((how) => (ended = how));
  while (!(await answers(connection))) {
    if (ended !== undefined) {
      const log = readFileSync(path.join(directory, 'server.log'), 'utf8').slice(-1000).trim();
      throw new ServerEndedError(`PostgreSQL ended at once (${ended}):\n${log}`);
    }
    await sleep(READY_POLL_MS, undefined, { signal });
  }
}

async function answers(connection: pg.ClientConfig): Promise<boolean> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch (error) {
    // Class 28: it runs and does not want us; waiting would not change that.
    if ((error as pg.DatabaseError).code?.startsWith('28')) throw error;
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

async function createDatabase(connection: pg.ClientConfig, name: string): Promise<void> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    const found = await client.query('select 1 from pg_database where datname = $1', [name]);
    if (found.rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}

async function endServer(postmaster: Postmaster, log: Logger): Promise<void> {
  signalServer(postmaster, 'SIGINT');
  const late = setTimeout(() => {
    log.error(
      { pid: postmaster.pid },
      'the database does not stop; ending it without a checkpoint',
    );
    signalServer(postmaster, 'SIGQUIT');
  }, STOP_MS);
  await postmaster.exited;
  clearTimeout(late);
}

function signalServer(postmaster: Postmaster, signal: 'SIGINT' | 'SIGQUIT'): void {
  try {
    process.kill(postmaster.pid, signal);
  } catch (error) {
    // Gone already.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

interface SocketFolder {
  path: string;
  close(): void;
}

/**
 * Where a server that another process runs in `directory` answers, for the user that process runs as. `close`
 * when no new connection is made any more.
 */
export function connectionToRunning(
  directory: string,
  database: string,
): { connection: pg.ClientConfig; close: () => void } {
  const folder = openSocketFolder(path.join(path.resolve(directory), 'data'));
  return {
    connection: { host: folder.path, port: 5432, user: 'postgres', database },
    close: () => folder.close(),
  };
}

/** The folder of the socket under a name short enough to connect to. */
function openSocketFolder(data: string): SocketFolder {
  if (Buffer.byteLength(data) <= SOCKET_FOLDER_MAX_BYTES) return { path: data, close: () => {} };
  const descriptor = openSync(data, 'r');
  return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) };
}
