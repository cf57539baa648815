import { statSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { syncDirectory } from '../connection/durable-file.ts';

const POLL_MS = 200;

function lockFile(stateDirectory: string): string {
  return path.join(stateDirectory, 'locked');
}

/** Nothing starts on this server until `unlock`, also after a restart. Locking twice is no error. */
export async function lock(stateDirectory: string): Promise<void> {
  const handle = await open(lockFile(stateDirectory), 'a', 0o600);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncDirectory(stateDirectory);
}

export async function unlock(stateDirectory: string): Promise<void> {
  await rm(lockFile(stateDirectory), { force: true });
  await syncDirectory(stateDirectory);
}

/** Also true when nobody can tell: the folder is unreadable or gone. */
export function isLocked(stateDirectory: string): boolean {
  try {
    if (statSync(lockFile(stateDirectory), { throwIfNoEntry: false }) !== undefined) return true;
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
