import { statSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncDirectory } from '../connection/durable-file.ts';

const POLL_MS = 200;

/** Two files, so that whoever ends the one never ends the other. */
const FILES = {
  /** By local root; stays until `unlock`. */
  root: 'locked',
  /** By what ends it itself, such as the removal of the package. */
  passing: 'locked-until-stopped',
} as const;
export type LockedBy = keyof typeof FILES;

function lockFile(stateDirectory: string, by: LockedBy): string {
  return path.join(stateDirectory, FILES[by]);
}

/** Nothing starts on this server until `unlock`, also after a restart. Locking twice is no error. */
export async function lock(stateDirectory: string, by: LockedBy = 'root'): Promise<void> {
  const handle = await open(lockFile(stateDirectory, by), 'a', 0o600);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncDirectory(stateDirectory);
}

export async function unlock(
  stateDirectory: string,
  locks: readonly LockedBy[] = ['root', 'passing'],
): Promise<void> {
  for (const by of locks) await rm(lockFile(stateDirectory, by), { force: true });
  await syncDirectory(stateDirectory);
}

/** Also true when nobody can tell: the folder is unreadable or gone. */
export function isLocked(stateDirectory: string): boolean {
  try {
    const files = [lockFile(stateDirectory, 'root'), lockFile(stateDirectory, 'passing')];
    if (files.some((file) => statSync(file, { throwIfNoEntry: false }) !== undefined)) return true;
    return !statSync(stateDirectory).isDirectory();
  } catch {
    return true;
  }
}

/**
 * Calls `listener` whenever the server is locked or unlocked, within a quarter of a second. It is not
 * called for how things stand at the beginning. Returns how to stop watching.
 */
export function watchLock(stateDirectory: string, listener: (locked: boolean) => void): () => void {
  let known = isLocked(stateDirectory);
  const timer = setInterval(() => {
    const locked = isLocked(stateDirectory);
    if (locked === known) return;
    known = locked;
    listener(locked);
  }, POLL_MS);
  timer.unref();
  return () => clearInterval(timer);
}
