import { open, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { copyOpen, withDraft, withoutFlags } from './change-files.ts';
import { openFolderOf, readState, stateDigest } from './file-state.ts';
import { removeFolders } from './folders.ts';
import { copyName, draftName, readSavedFile, recordPattern, type SavedFile } from './saved-file.ts';

type Context = Pick<ActionContext, 'run'>;

/** A file that a job has saved, and what has become of it. */
export interface FoundFile {
  index: number;
  saved: SavedFile;
  /** `changed`: by somebody else since, so that nothing may be put over it. */
  standing: 'before' | 'after' | 'changed';
}

/** What the files a job saved are like now, in the order they were changed. Changes nothing. */
export async function findSavedFiles(root: TargetRoot, folder: string): Promise<FoundFile[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const indices = names
    .map((name) => recordPattern.exec(name)?.[1])
    .filter((index) => index !== undefined)
    .map(Number)
    .toSorted((a, b) => a - b);
  const found: FoundFile[] = [];
  for (const index of indices) found.push(await findSavedFile(root, folder, index));
  return found;
}

export async function findSavedFile(
  root: TargetRoot,
  folder: string,
  index: number,
): Promise<FoundFile> {
  const saved = await readSavedFile(folder, index);
  const now = stateDigest(await readState(root, saved.path, saved.straight, saved.maxBytes));
  const standing = now === saved.before ? 'before' : now === saved.after ? 'after' : 'changed';
  return { index, saved, standing };
}

/** Throws ActionError `changed_since` when somebody has changed one of the files after the job. */
export function requireUnchanged(files: readonly FoundFile[]): void {
  const other = files.find(({ standing }) => standing === 'changed');
  if (other === undefined) return;
  throw new ActionError(
    'changed_since',
    `${other.saved.path} has been changed after the job: putting the old file back would destroy that`,
  );
}

/**
 * Puts back what a job changed, last change first: the same bytes, mode, owner, times and extended
 * attributes, or no file where there was none. May be cut off anywhere and begun again.
 */
export async function restoreFiles(
  context: Context,
  root: TargetRoot,
  folder: string,
  files: readonly FoundFile[],
): Promise<void> {
  for (const file of files.toReversed()) await restoreFile(context, root, folder, file);
}

/** `restoreFiles` of one. */
export async function restoreFile(
  context: Context,
  root: TargetRoot,
  folder: string,
  file: FoundFile,
): Promise<void> {
  const { path, straight, before, flags, existed, madeFolders, maxBytes } = file.saved;
  await removeDraft(root, file.saved);
  // A job that was cut off may have left the old file without its flags.
  if (file.standing === 'after' || flags !== undefined) await restore(context, root, folder, file);
  if (!existed) await removeFolders(root, madeFolders, straight);
  if (stateDigest(await readState(root, path, straight, maxBytes)) === before) return;
  throw new ActionError('undo_incomplete', `${path} is not as it was before the job`);
}

async function restore(
  context: Context,
  root: TargetRoot,
  backups: string,
  { index, saved, standing }: FoundFile,
): Promise<void> {
  const { path, straight } = saved;
  const name = basename(path);
  const folder = await openFolderOf(root, path, straight);
  if (folder === null) throw new ActionError('undo_incomplete', `${dirname(path)} is not there`);
  try {
    await withoutFlags(context, folder, name, saved.flags, async () => {
      if (standing !== 'after') return;
      if (!saved.existed) {
        await rm(folder.entry(name), { force: true });
      } else {
        const copy = await open(join(backups, copyName(index)), 'r');
        try {
          await withDraft(folder, name, saved.job, (draft) => copyOpen(context, copy, draft, []));
        } finally {
          await copy.close();
        }
      }
      await folder.sync();
    });
  } finally {
    await folder.close();
  }
}

async function removeDraft(root: TargetRoot, { path, job, straight }: SavedFile): Promise<void> {
  const folder = await openFolderOf(root, path, straight);
  if (folder === null) return;
  try {
    await rm(folder.entry(draftName(basename(path), job)), { force: true });
  } finally {
    await folder.close();
  }
}
