import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { copyPostgresBinaries, majorVersion, removeOtherBinaries } from './postgres-binaries.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { postgresUser } from './postgres-user.ts';
import { createLauncher, findPostmaster, runToEnd, spawnPostmaster } from './postmaster.ts';
import type { Launcher, Postmaster } from './postmaster.ts';

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
  /** Ends the server cleanly (fast shutdown) and waits for it. */
  stop(): Promise<void>;
  /** Where it answers; creates the database when it does not exist. */
  connection(database: string): Promise<pg.PoolConfig>;
}

const SETTINGS: Record<string, string> = {
  listen_addresses: '',
  fsync: 'on',
  synchronous_commit: 'on',
  max_wal_size: '4GB',
  max_connections: '100',
  jit: 'off',
  log_checkpoints: 'off',
  log_timezone: 'UTC',
  timezone: 'UTC',
};

const READY_POLL_MS = 20;
const BACKOFF_MS = { first: 100, most: 5_000 };
/** Tries of the first start: processes of a killed server may hold its memory for a moment. */
const FIRST_TRIES = 6;
const STOP_MS = 60_000;
const LOG_MAX_BYTES = 16 * 1024 * 1024;
/** A socket's path takes 107 bytes at most, its own name included. */
const SOCKET_FOLDER_MAX_BYTES = 107 - '/.s.PGSQL.5432'.length;

export function createEmbeddedPostgres(options: EmbeddedPostgresOptions): EmbeddedPostgres {
  const directory = path.resolve(options.directory);
  const data = path.join(directory, 'data');
  const stopping = new AbortController();
  let current: Postmaster | undefined;
  let supervised: Promise<void> = Promise.resolve();
  let socketFolder: SocketFolder | undefined;

  const connectionTo = (database: string): pg.PoolConfig => ({
    host: (socketFolder ??= openSocketFolder(data)).path,
    port: 5432,
    user: 'postgres',
    database,
  });

  async function launch(): Promise<Postmaster> {
    const prepared = await prepare(directory, data, options.installation);
    writeAccessFiles(directory, prepared.launcher);
    const running = findPostmaster(data);
    if (running === undefined && options.installation === undefined) {
      removeOtherBinaries(directory, prepared.binaries.folder);
    }
    const postmaster =
      running ?? (await spawnServer(directory, data, prepared, options.settings ?? {}));
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

  return {
    start: async () => {
      if (current !== undefined) throw new Error('the database was started already');
      for (let attempt = 1; current === undefined; attempt++) {
        try {
          current = await launch();
        } catch (error) {
          if (!(error instanceof ServerEndedError) || attempt === FIRST_TRIES) throw error;
          await sleep(BACKOFF_MS.first * attempt);
        }
      }
      options.log.info({ pid: current.pid, adopted: current.adopted }, 'the database answers');
      supervised = supervise();
    },
    stop: async () => {
      stopping.abort();
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

interface Prepared {
  binaries: PostgresBinaries;
  launcher: Launcher;
}

/** Everything before the server itself: folder, program, user, initialised data. Can be repeated. */
async function prepare(
  directory: string,
  data: string,
  installation: string | undefined,
): Promise<Prepared> {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o711);
  const binaries =
    installation === undefined
      ? copyPostgresBinaries(directory)
      : { folder: installation, major: majorVersion(installation) };
  const user = postgresUser(data);
  const launcher = createLauncher(directory, user);
  if (existsSync(data)) {
    const version = Number(readFileSync(path.join(data, 'PG_VERSION'), 'utf8'));
    if (version !== binaries.major) {
      throw new Error(
        `${data} was written by PostgreSQL ${version}; this is ${binaries.major}. Back it up with the old ` +
          'version and restore it with this one.',
      );
    }
  } else {
    await initialise(directory, data, { binaries, launcher });
  }
  return { binaries, launcher };
}

/** Under another name first: a start that is cut off must not leave half a data folder. */
async function initialise(directory: string, data: string, prepared: Prepared): Promise<void> {
  const { binaries, launcher } = prepared;
  const unfinished = path.join(directory, 'data.new');
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { mode: 0o700 });
  if (process.getuid?.() === 0) chownSync(unfinished, launcher.user.uid, launcher.user.gid);
  const locale =
    binaries.major >= 17
      ? ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
      : ['--locale=C.UTF-8'];
  const program = path.join(binaries.folder, 'bin/initdb');
  const plain = ['-U', 'postgres', '--auth=peer', '--no-instructions', '--encoding=UTF8'];
  await runToEnd(launcher, [program, '-D', unfinished, ...plain, ...locale]);
  renameSync(unfinished, data);
  const folder = openSync(directory, 'r');
  fsyncSync(folder);
  closeSync(folder);
}

/**
 * Only the socket, and only for the user the control plane runs as. Written at every start, so that they
 * fit whoever starts it.
 */
function writeAccessFiles(directory: string, launcher: Launcher): void {
  const write = (name: string, text: string) => {
    const file = path.join(directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    if (process.getuid?.() === 0) chownSync(file, launcher.user.uid, launcher.user.gid);
  };
  write('pg_hba.conf', 'local all postgres peer map=control-plane\n');
  write('pg_ident.conf', `control-plane "${userInfo().username}" postgres\n`);
}

async function spawnServer(
  directory: string,
  data: string,
  { binaries, launcher }: Prepared,
  settings: Record<string, string>,
): Promise<Postmaster> {
  const all: Record<string, string> = {
    ...SETTINGS,
    // Relative to the data folder, so that its path may be of any length.
    unix_socket_directories: '.',
    unix_socket_permissions: '0700',
    hba_file: path.join(launcher.seenAs, 'pg_hba.conf'),
    ident_file: path.join(launcher.seenAs, 'pg_ident.conf'),
    ...settings,
  };
  const log = openLog(directory);
  try {
    const program = path.join(binaries.folder, 'bin/postgres');
    const set = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    return await spawnPostmaster(launcher, [program, '-D', data, ...set], log);
  } finally {
    closeSync(log);
  }
}

function openLog(directory: string): number {
  const file = path.join(directory, 'server.log');
  if (existsSync(file) && statSync(file).size > LOG_MAX_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
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

/** The folder of the socket under a name short enough to connect to. */
function openSocketFolder(data: string): SocketFolder {
  if (Buffer.byteLength(data) <= SOCKET_FOLDER_MAX_BYTES) return { path: data, close: () => {} };
  const descriptor = openSync(data, 'r');
  return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) };
}
