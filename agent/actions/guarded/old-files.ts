import { open, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GuardedFile } from '../../guard/guard-folder.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { copyOpen, withDraft, type PreparedChange } from '../files/change-files.ts';
import { openFolderOf } from '../files/file-state.ts';
import { copyName, draftName, type SavedFile } from '../files/saved-file.ts';

type Context = Pick<ActionContext, 'run'>;

/** Name of the old file beside the new one while a change waits; no program reads such names by itself. */
function oldName({ path, job }: SavedFile): string {
  return `.${basename(path).slice(0, 200)}.${job.slice(-12)}.old`;
}

/** What the guardian is told of files that are about to change; paths as the running system resolves them. */
export async function guardedFiles(
  root: TargetRoot,
  prepared: readonly PreparedChange[],
): Promise<GuardedFile[]> {
  const files: GuardedFile[] = [];
  for (const { saved } of prepared) {
    const folder = await openFolderOf(root, saved.path);
    const at = folder?.path ?? dirname(saved.path);
    await folder?.close();
    files.push({
      path: join(at, basename(saved.path)),
      old: saved.existed ? join(at, oldName(saved)) : null,
      madeFolders: saved.madeFolders,
      draft: join(at, draftName(basename(saved.path), saved.job)),
    });
  }
  return files;
}

/**
 * Puts a whole copy of each file, from its backup, beside it: putting it back is then one rename, which needs no room.
 *
 * @param folder of the backups, see `prepareChange`
 */
export async function layOldFiles(
  context: Context,
  root: TargetRoot,
  folder: string,
  prepared: readonly PreparedChange[],
): Promise<void> {
  for (const [index, { saved }] of prepared.entries()) {
    if (!saved.existed) continue;
    const inside = await root.openFolder(dirname(saved.path));
    const copy = await open(join(folder, copyName(index)), 'r');
    try {
      const fill = (draft: Parameters<typeof copyOpen>[2]) => copyOpen(context, copy, draft, []);
      await withDraft(inside, oldName(saved), saved.job, fill);
      await inside.sync();
    } finally {
      await copy.close();
      await inside.close();
    }
  }
}

/** Takes them away again; for a change that was never begun. */
export async function dropOldFiles(
  root: TargetRoot,
  prepared: readonly PreparedChange[],
): Promise<void> {
  for (const { saved } of prepared) {
    const inside = await openFolderOf(root, saved.path);
    if (inside === null) continue;
    await rm(inside.entry(oldName(saved)), { force: true });
    await inside.close();
  }
}
