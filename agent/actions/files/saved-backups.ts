import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { leftToUndo } from '../../jobs/left-to-undo.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';

/**
 * The folder with what a job saved, each file of it compared with the digest in the job's journal; null
 * when it had saved nothing, and so changed nothing, or put everything back by itself. Throws ActionError `backup_damaged`.
 */
export async function findSavedBackups(undone: ActionContext['undone']): Promise<string | null> {
  if (undone === null) throw new ActionError('undo_not_possible', 'no job to undo was named');
  const backups = leftToUndo(undone.records).flatMap((record): SavedBackup[] => record.backups);
  if (backups.length === 0) return null;
  const named = dirname(backups[0]!.path);
  const isThere = await stat(named).then(
    () => true,
    () => false,
  );
  const folder = isThere ? named : join(undone.directory, 'backups');
  for (const { path, digest } of backups) {
    const own = join(folder, path.slice(named.length + 1));
    const found = await digestOfFile(own).catch((error: Error) => {
      throw new ActionError('backup_damaged', `a backup cannot be read: ${error.message}`);
    });
    if (found === digest) continue;
    throw new ActionError('backup_damaged', `${own} is not what was saved`);
  }
  return folder;
}

/** Read piece by piece: one may be the image of a whole file system. */
async function digestOfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
  return `sha256:${hash.digest('hex')}`;
}
