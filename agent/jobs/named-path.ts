import { lstat, mkdir, realpath, rmdir } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { syncDirectory } from '../connection/durable-file.ts';
import type { JobSpec } from './job-spec.ts';
import type { SandboxPlaces } from './sandbox-paths.ts';

/** Nothing of these is ever an image to repair or a place for backups. */
const SYSTEM_FOLDERS = [
  '/etc',
  '/usr',
  '/bin',
  '/sbin',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
].concat(['/boot', '/run', '/proc', '/sys', '/dev', '/root/.ssh']);

/** Thrown when an order names a path that no job may have; the message is for people. */
export class ForbiddenPathError extends Error {
  override name = 'ForbiddenPathError';
}

/** A folder for the backups of one job; nothing beside it is bound into its sandbox. */
export interface BackupBinding {
  path: string;
  isWritable: boolean;
  /** Made only so that its file system can be looked at: removed again when the runner is there. */
  isTransient: boolean;
}

/**
 * Makes sure that a path of an order is no way into the agent or the system: not what they keep, not a
 * folder around that, and named without symlinks. Null when nothing is there. Throws ForbiddenPathError.
 */
export async function checkNamedPath(given: string, places: SandboxPlaces): Promise<string | null> {
  checkPlainName(given);
  const real = await realpath(given).catch(() => null);
  if (real === null) return null;
  if (real !== given) {
    throw new ForbiddenPathError(`${given} leads over a symlink to ${real}: name that instead`);
  }
  await refuseKept(real, places);
  return real;
}

async function refuseKept(path: string, places: SandboxPlaces): Promise<void> {
  const { stateDirectory, programDirectory, nodePath, protectedPaths } = places;
  const own = [stateDirectory, programDirectory, dirname(nodePath), ...protectedPaths];
  for (const name of [...SYSTEM_FOLDERS, ...own]) {
    const kept = await realpath(name).catch(() => name);
    if (isWithin(path, kept) || isWithin(kept, path)) {
      throw new ForbiddenPathError(`${path} is not for jobs: ${kept} is kept from them`);
    }
  }
}

/** Throws ForbiddenPathError when the name has parts that say nothing or lead back. */
export function checkPlainName(given: string): void {
  if (normalize(given) === given && (given === '/' || !given.endsWith('/'))) return;
  throw new ForbiddenPathError(`${given} is not a plain path: name ${normalize(given)} instead`);
}

/**
 * Makes sure that nobody but root can put anything in the place of backups, which an undo writes as root. Null when
 * the order names no folder for them, or one that is not there. Throws ForbiddenPathError.
 */
export async function checkBackupDirectory(
  { mode, undoes, parameters }: Pick<JobSpec, 'mode' | 'undoes' | 'parameters'>,
  places: SandboxPlaces,
): Promise<string | null> {
  const given = parameters['backupDirectory'];
  if (typeof given !== 'string') return null;
  const base = await checkNamedPath(given, places);
  if (base === null) await refuseKept(given, places);
  await requireRootsAlone(mode === 'undo' ? join(given, `intervene-${undoes}`) : given);
  return base;
}

/** Of a folder that is not there that holds for the one in which it would be made. */
async function requireRootsAlone(path: string): Promise<void> {
  let last = path;
  while ((await lstat(last).catch(() => null)) === null) last = dirname(last);
  for (let at = last; ; at = dirname(at)) {
    const { uid, mode } = await lstat(at);
    // Above, what is root's can be replaced by nobody else where the folder is sticky.
    const isOpen = (mode & 0o022) !== 0 && (at === last || (mode & 0o1000) === 0);
    if (uid !== 0 || isOpen || (await realpath(at)) !== at) {
      throw new ForbiddenPathError(
        `${path} is no place for backups: others than root can change ${at}; name a folder that, like all above it, only root may write`,
      );
    }
    if (at === '/') return;
  }
}

/**
 * The folder of this job's backups below the one that the order names, made here: the job never gets the
 * folder around it. Null when it cannot be there; the action then says why. Throws ForbiddenPathError.
 */
export async function bindBackups(
  spec: Pick<JobSpec, 'job' | 'mode' | 'undoes' | 'parameters'>,
  places: SandboxPlaces,
): Promise<BackupBinding | null> {
  const base = await checkBackupDirectory(spec, places);
  if (base === null) return null;
  if (spec.mode === 'undo') {
    const path = join(base, `intervene-${spec.undoes}`);
    const isThere = (await lstat(path).catch(() => null))?.isDirectory() === true;
    return isThere ? { path, isWritable: false, isTransient: false } : null;
  }
  const path = join(base, `intervene-${spec.job}`);
  try {
    await mkdir(path, { mode: 0o700 });
    await syncDirectory(base);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return null;
    throw new ForbiddenPathError(`${path} is there already`);
  }
  const isPlan = spec.mode === 'plan';
  return { path, isWritable: !isPlan, isTransient: isPlan };
}

/** Removes the folder of a job that left nothing in it. */
export async function dropEmptyFolder(path: string): Promise<void> {
  // One that holds backups stays.
  await rmdir(path).catch(() => undefined);
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}
