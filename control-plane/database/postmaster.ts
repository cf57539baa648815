import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SystemUser } from './postgres-user.ts';

/** A running PostgreSQL server, started by us or found running. */
export interface Postmaster {
  pid: number;
  /** Whether a former control plane started it. */
  adopted: boolean;
  /** Settles once the process is gone, saying how it ended where that is known. */
  exited: Promise<string>;
}

/** How programs of PostgreSQL are run: as whom, and where they see the folder that holds the data. */
export interface Launcher {
  user: SystemUser;
  /** The folder as we see it. */
  directory: string;
  /** The folder as the programs see it. */
  seenAs: string;
}

const ADOPTED_POLL_MS = 200;
const EMPTY_LOCK_MS = 2_000;
const MOUNT_POINT = '/mnt';

/**
 * Everything after the fixed text is a positional argument. The mount is private to the program and goes
 * away with it.
 */
const MOUNT_AND_BECOME =
  'mount --bind -- "$1" "$2"; cd "$2"; user=$3; group=$4; shift 4; ' +
  'exec setpriv --reuid "$user" --regid "$group" --clear-groups -- "$@"';

/**
 * Programs run directly where their user can reach the folder. As root they may not (`/root` is 0700):
 * then each runs in a mount namespace of its own, where the folder lies on /mnt.
 */
export function createLauncher(directory: string, user: SystemUser): Launcher {
  const direct = { user, directory, seenAs: directory };
  if (process.getuid?.() !== 0) return direct;
  const probe = ['test', '-x', `${directory}/.`];
  const options = { encoding: 'utf8', env: environment, cwd: '/' } as const;
  const reached = spawnSync(probe[0]!, probe.slice(1), {
    ...options,
    uid: user.uid,
    gid: user.gid,
  });
  if (reached.status === 0) return direct;
  const mounted = { user, directory, seenAs: MOUNT_POINT };
  const argv = commandLine(mounted, probe);
  const result = spawnSync(argv[0]!, argv.slice(1), options);
  if (result.status !== 0) {
    const why = result.error?.message ?? result.stderr.trim();
    throw new Error(
      `the user ${user.name}, as which PostgreSQL runs, cannot reach ${directory}, and it cannot be ` +
        `mounted elsewhere (${why}); choose a data folder that ${user.name} can enter`,
    );
  }
  return mounted;
}

/** Nothing of ours is passed on; LC_ALL keeps messages in one language. */
const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** Paths below the folder are translated to where the program sees them. */
function commandLine(launcher: Launcher, argv: readonly string[]): string[] {
  if (launcher.seenAs === launcher.directory) return [...argv];
  const { user, directory, seenAs } = launcher;
  const prefix = `${directory}/`;
  const translated = argv.map((word) =>
    word.startsWith(prefix) ? `${seenAs}/${word.slice(prefix.length)}` : word,
  );
  const become = [directory, seenAs, String(user.uid), String(user.gid)];
  const alone = ['unshare', '--mount', '--propagation', 'private', '--'];
  return [...alone, 'sh', '-ec', MOUNT_AND_BECOME, 'sh', ...become, ...translated];
}

function spawnOptions(launcher: Launcher) {
  const direct = launcher.seenAs === launcher.directory;
  const change = direct && process.getuid?.() === 0;
  return {
    cwd: launcher.directory,
    env: environment,
    ...(change ? { uid: launcher.user.uid, gid: launcher.user.gid } : {}),
  };
}

/** Runs a program to its end. Throws with what it printed when it fails. */
export function runToEnd(launcher: Launcher, argv: readonly string[]): Promise<void> {
  const [program, ...rest] = commandLine(launcher, argv);
  return new Promise((resolve, reject) => {
    const child = spawn(program!, rest, {
      ...spawnOptions(launcher),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const collect = (chunk: Buffer) => (output = `${output}${chunk.toString()}`.slice(-4000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) resolve();
      else
        reject(new Error(`${path.basename(argv[0]!)} ended with ${status ?? signal}: ${output}`));
    });
  });
}

/**
 * Starts the server in a session of its own: an interrupt typed at the terminal is for the control plane,
 * which still needs the database while it stops.
 *
 * @param logFile descriptor that the server writes to, which survives us
 */
export function spawnPostmaster(
  launcher: Launcher,
  argv: readonly string[],
  logFile: number,
): Promise<Postmaster> {
  const [program, ...rest] = commandLine(launcher, argv);
  const child = spawn(program!, rest, {
    ...spawnOptions(launcher),
    detached: true,
    stdio: ['ignore', logFile, logFile],
  });
  const exited = new Promise<string>((resolve) => {
    child.on('exit', (status, signal) => resolve(signal ?? `exit status ${status}`));
    child.on('error', (error) => resolve(error.message));
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('spawn', () => resolve({ pid: child.pid!, adopted: false, exited }));
  });
}

/** The server that works on this data folder, if one runs: a control plane that was killed leaves it behind. */
export function findPostmaster(dataDirectory: string): Postmaster | undefined {
  const pid = lockHolder(dataDirectory);
  if (pid === undefined || !isPostmasterOf(pid, dataDirectory)) return undefined;
  return { pid, adopted: true, exited: pollUntilGone(pid, dataDirectory) };
}

/**
 * Removes what a dead server left: PostgreSQL refuses to start when the process id in it has gone to
 * another process of the same user. Only for whoever is about to start the server, and found none.
 */
export async function removeStaleLock(dataDirectory: string): Promise<void> {
  // A server that has just been started may not have written its process id yet.
  const deadline = performance.now() + EMPTY_LOCK_MS;
  while (Number.isNaN(lockHolder(dataDirectory)) && performance.now() < deadline) await sleep(50);
  if (findPostmaster(dataDirectory) !== undefined) return;
  rmSync(path.join(dataDirectory, 'postmaster.pid'), { force: true });
  rmSync(path.join(dataDirectory, '.s.PGSQL.5432.lock'), { force: true });
}

/** The process id in the lock file; undefined without one, NaN when it cannot be read. */
function lockHolder(dataDirectory: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path.join(dataDirectory, 'postmaster.pid'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return Number.parseInt(text, 10);
}

/** A server's working directory is its data folder, under whatever path it knows it. */
function isPostmasterOf(pid: number, dataDirectory: string): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 1) return false;
  try {
    const there = statSync(`/proc/${pid}/cwd`);
    const here = statSync(dataDirectory);
    const program = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
    return (
      there.dev === here.dev && there.ino === here.ino && path.basename(program) === 'postgres'
    );
  } catch {
    return false;
  }
}

function pollUntilGone(pid: number, dataDirectory: string): Promise<string> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (isPostmasterOf(pid, dataDirectory)) return;
      clearInterval(timer);
      resolve('gone');
    }, ADOPTED_POLL_MS);
    timer.unref();
  });
}
