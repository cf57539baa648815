import { spawn } from 'node:child_process';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The folder a control plane keeps everything in, held for this process alone. */
export interface DataFolder {
  path: string;
  postgres: string;
  certificateAuthority: string;
  adminTokenFile: string;
  /** Writes a secret that only its owner can read, so that it survives a power cut, or not at all. */
  writeSecret(file: string, text: string): void;
  release(): Promise<void>;
}

/** Thrown when another control plane works on the folder. */
export class DataFolderInUseError extends Error {
  override name = 'DataFolderInUseError';
}

/** What `flock` ends with when somebody else has the lock: EX_TEMPFAIL of sysexits.h. */
const CONFLICT = 75;
/** A killed control plane's lock goes with its helper, a moment after it. */
const PATIENCE_MS = 3_000;
const RETRY_MS = 100;

/**
 * Creates the folder when it is absent and takes its lock, `control-plane.pid`. The kernel drops the lock
 * with us, however we end, and no process id has to be believed. Throws DataFolderInUseError.
 */
export async function openDataFolder(
  directory: string,
  { patienceMs = PATIENCE_MS } = {},
): Promise<DataFolder> {
  // Others may pass through, to the data of PostgreSQL that belongs to them; everything else is 0600 or 0700.
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const lockFile = path.join(directory, 'control-plane.pid');
  const deadline = performance.now() + patienceMs;
  let release: (() => Promise<void>) | null;
  while ((release = await tryLock(lockFile)) === null) {
    if (performance.now() > deadline) {
      const holder = readFileSync(lockFile, 'utf8').trim() || 'unknown';
      throw new DataFolderInUseError(
        `another control plane (process ${holder}) works on ${directory}; stop it first, or choose ` +
          'another folder with --data',
      );
    }
    await sleep(RETRY_MS);
  }
  // In place: another file of this name would not be the locked one.
  writeFileSync(lockFile, `${process.pid}\n`);
  const unlock = release;
  return {
    path: directory,
    postgres: path.join(directory, 'postgres'),
    certificateAuthority: path.join(directory, 'ca'),
    adminTokenFile: path.join(directory, 'admin-token'),
    writeSecret,
    release: async () => {
      writeFileSync(lockFile, '');
      await unlock();
    },
  };
}

/**
 * Node cannot lock files. `flock` (util-linux) does and then waits in `cat` for our end of the pipe to
 * close. Null when somebody else has the lock.
 */
function tryLock(file: string): Promise<(() => Promise<void>) | null> {
  const argv = ['--nonblock', '--conflict-exit-code', String(CONFLICT), file, 'cat'];
  // Of its own session: an interrupt typed at the terminal must not end it before us.
  const child = spawn('flock', argv, {
    detached: true,
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const exited = new Promise<number | null>((resolve) => {
    child.once('exit', (status) => resolve(status));
  });
  child.stdin.on('error', () => {});
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      reject(
        new Error('the data folder cannot be locked: `flock` of util-linux is missing', { cause }),
      );
    });
    // It comes back once `cat` runs, and `cat` runs once the lock is ours.
    child.stdin.write('locked\n');
    child.stdout.once('data', () => {
      child.unref();
      resolve(async () => {
        child.ref();
        child.stdin.end();
        await exited;
      });
    });
    void exited.then((status) => {
      if (status === CONFLICT) resolve(null);
      else reject(new Error(`the data folder cannot be locked: flock ended with ${status}`));
    });
  });
}

function writeSecret(file: string, text: string): void {
  const unfinished = `${file}.new`;
  const descriptor = openSync(unfinished, 'w', 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(unfinished, file);
  const folder = openSync(path.dirname(file), 'r');
  fsyncSync(folder);
  closeSync(folder);
}
