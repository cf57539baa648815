import { mkdir, readdir, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { inspectFolder } from '../../target/durable-folder.ts';
import { syncDirectory } from '../../connection/durable-file.ts';
import { usableOf } from './scratch-space.ts';

type Context = Pick<ActionContext, 'spec' | 'directory' | 'note'>;

/** Where a job's backups go: the folder the order names, else the job's own. */
export function backupFolder(context: Pick<ActionContext, 'spec' | 'directory'>): string {
  const { parameters, job } = context.spec;
  const given = parameters['backupDirectory'];
  return typeof given === 'string'
    ? join(given, `intervene-${job}`)
    : join(context.directory, 'backups');
}

/** The same for people, who read it before the job that will use it has a name. */
export function backupFolderInPlan(context: Pick<ActionContext, 'spec'>): string {
  const given = context.spec.parameters['backupDirectory'];
  return typeof given === 'string' ? join(given, 'intervene-JOB') : 'jobs/JOB/backups';
}

/**
 * Makes sure that backups can be kept there. Throws ActionError `no_backup_space` when the folder is not
 * there, has less than `bytes` left, or, in a rescue system, would not outlive a power cut. It never lies on
 * what is to be repaired: that would be mounted, and is refused. Returns how much may be written.
 */
export async function checkBackupPlace(context: Context, bytes: number): Promise<number> {
  const base = await placeOf(context);
  const refuse = (why: string) => new ActionError('no_backup_space', why);
  const storage = await inspectFolder(base).catch((error: Error) => {
    throw refuse(`backups cannot go to ${base}: ${error.message}`);
  });
  if (storage.medium !== 'disk') {
    const what = `${base} (${storage.type}) is not known to outlive a power cut`;
    if (context.spec.agentMode === 'rescue') {
      throw refuse(`${what}: name a folder on a disk with the parameter backupDirectory`);
    }
    context.note(`${what}; neither would the backups of this job.`);
  }
  const usable = usableOf(storage);
  if (usable < bytes) {
    throw refuse(`${base} has room for ${usable} bytes, the backups may need ${bytes}`);
  }
  return usable;
}

/** The job's own folder in the one that the order names, where the sandbox has it already. */
async function placeOf(context: Context): Promise<string> {
  const given = context.spec.parameters['backupDirectory'];
  if (typeof given !== 'string') return context.directory;
  const folder = backupFolder(context);
  return stat(folder).then(
    () => folder,
    () => given,
  );
}

/** Makes the folder for a job's backups; it is durable when this returns. Never one that has any. */
export async function makeBackupFolder(context: Context): Promise<string> {
  const folder = backupFolder(context);
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: Error) => {
    throw new ActionError('no_backup_space', `backups cannot go to ${folder}: ${error.message}`);
  });
  if ((await readdir(folder)).length > 0) {
    throw new ActionError('no_backup_space', `there are backups in ${folder} already`);
  }
  await syncDirectory(join(folder, '..'));
  return folder;
}

/** Nothing was changed: what was saved is of no use. */
export async function dropBackupFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    await rm(join(folder, name), { recursive: true, force: true });
  }
  // In the sandbox it may be a mount, which stays.
  await rmdir(folder).catch(() => undefined);
}
