import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { ActionError } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { openUnfollowed } from './attributes.ts';
import { openFolderOf } from './file-state.ts';

/**
 * Opens a file or folder of the target for what is read or changed beside its content; no link in its place is
 * followed. `straight` as in `FileChange`. Throws ActionError `changed_since_plan` where its folder is not there.
 */
export async function withOpened<T>(
  root: TargetRoot,
  path: string,
  straight: boolean | undefined,
  body: (handle: FileHandle) => Promise<T>,
): Promise<T> {
  const folder = await openFolderOf(root, path, straight);
  if (folder === null) throw new ActionError('changed_since_plan', `${path} is not there`);
  try {
    const handle = await openUnfollowed(folder, basename(path) || null);
    try {
      return await body(handle);
    } finally {
      await handle.close();
    }
  } finally {
    await folder.close();
  }
}
