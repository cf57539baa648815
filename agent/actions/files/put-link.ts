import { readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ActionError } from '../../runner/action.ts';
import { TargetPathError, type TargetFolder, type TargetRoot } from '../../target/target-root.ts';
import { makeFolders } from './folders.ts';

/** What a link is before it takes its name: nobody else's files are called so. */
export function linkDraftName(name: string): string {
  return `.${name.slice(0, 200)}.intervene-link`;
}

/** Makes a symlink, or takes one away; whatever lay there under its name is gone. Durable when it returns. */
export async function putLink(
  root: TargetRoot,
  path: string,
  target: string | undefined,
): Promise<void> {
  if (target !== undefined) await makeFolders(root, dirname(path));
  const folder = await openIfThere(root, dirname(path));
  if (folder === null) return;
  const name = basename(path);
  const draft = folder.entry(linkDraftName(name));
  try {
    // Left by a job or an undo that was cut off.
    await rm(draft, { force: true });
    if (target === undefined) {
      await rm(folder.entry(name), { force: true });
    } else {
      await symlink(target, draft);
      await rename(draft, folder.entry(name));
    }
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** What a symlink says; null when nothing is there. Throws ActionError `not_a_symlink` for anything else. */
export async function readLink(root: TargetRoot, path: string): Promise<string | null> {
  const folder = await openIfThere(root, dirname(path));
  if (folder === null) return null;
  try {
    return await readlink(folder.entry(basename(path)));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return null;
    if (code !== 'EINVAL') throw error;
    throw new ActionError('not_a_symlink', `${path} is no symlink; nothing was changed`);
  } finally {
    await folder.close();
  }
}

async function openIfThere(root: TargetRoot, path: string): Promise<TargetFolder | null> {
  return root.openFolder(path).catch((error: unknown) => {
    if (error instanceof TargetPathError) return null;
    throw error;
  });
}
