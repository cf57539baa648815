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
import { copyPostgresBinaries, majorVersion } from './postgres-binaries.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { postgresUser } from './postgres-user.ts';
import { createLauncher, runToEnd, spawnPostmaster } from './postmaster.ts';
import type { Launcher, Postmaster } from './postmaster.ts';

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

const LOG_MAX_BYTES = 16 * 1024 * 1024;

/** A data folder that a server can be started on. */
export interface Prepared {
  binaries: PostgresBinaries;
  launcher: Launcher;
}

/** Everything before the server itself: folder, program, user, initialised data. Can be repeated. */
export async function prepareData(
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
export function writeAccessFiles(directory: string, launcher: Launcher): void {
  const write = (name: string, text: string) => {
    const file = path.join(directory, name);
    writeFileSync(file, text, { mode: 0o600 });
    if (process.getuid?.() === 0) chownSync(file, launcher.user.uid, launcher.user.gid);
  };
  write('pg_hba.conf', 'local all postgres peer map=control-plane\n');
  write('pg_ident.conf', `control-plane "${userInfo().username}" postgres\n`);
}

export async function startServer(
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
