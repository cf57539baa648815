import { mkdir, rmdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ActionError } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { openUnfollowed, setAttributes } from './attributes.ts';
import { openFolderAt, openFolderOf, type FileAttributes } from './file-state.ts';

/** For everybody to read, and root's. */
export const NEW_FOLDER: FileAttributes = { mode: 0o755, uid: 0, gid: 0 };

/** The folders on the way to one that are not there yet, the outermost first. `straight` as for a change of a file. */
export async function missingFolders(
  root: TargetRoot,
  path: string,
  straight?: boolean,
): Promise<string[]> {
  const missing: string[] = [];
  for (let at = path; at !== '/'; at = dirname(at)) {
    const found = await openFolderAt(root, at, straight);
    if (found !== null) {
      await found.close();
      break;
    }
    missing.unshift(at);
  }
  return missing;
}

/**
 * Makes a folder, and those above it that are missing, root's and for everybody to read unless it is said
 * otherwise; durable when it returns.
 */
export async function makeFolders(
  root: TargetRoot,
  path: string,
  attributes: FileAttributes = NEW_FOLDER,
  straight?: boolean,
): Promise<void> {
  for (const missing of await missingFolders(root, path, straight)) {
    const parent = await openFolderOf(root, missing, straight);
    if (parent === null) throw new ActionError('changed_since', `${dirname(missing)} has gone`);
    try {
      await mkdir(parent.entry(basename(missing)), { mode: attributes.mode });
      const made = await openUnfollowed(parent, basename(missing));
      try {
        await setAttributes(made, attributes);
      } finally {
        await made.close();
      }
      await parent.sync();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      await parent.close();
    }
  }
}

/** Removes folders that were made, the last first, as far as nothing else lies in them. */
export async function removeFolders(
  root: TargetRoot,
  paths: readonly string[],
  straight?: boolean,
): Promise<void> {
  for (const path of paths.toReversed()) {
    const parent = await openFolderOf(root, path, straight);
    if (parent === null) continue;
    try {
      await rmdir(parent.entry(basename(path)));
      await parent.sync();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error;
    } finally {
      await parent.close();
    }
  }
}
