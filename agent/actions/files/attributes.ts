import { constants } from 'node:fs';
import { chmod, chown, open, readlink, type FileHandle } from 'node:fs/promises';
import { ActionError } from '../../runner/action.ts';
import type { TargetFolder } from '../../target/target-root.ts';
import type { FileAttributes } from './file-state.ts';

/** openat(2) with it opens a name without reading, writing or following what stands there; not in Node. */
export const O_PATH = 0o10_000_000;
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/**
 * Opens a plain file or folder so that only its mode and owner can be worked on. Throws ActionError
 * `not_a_plain_file` for anything else, and for a file with further names.
 *
 * @param name null: the folder itself
 */
export async function openUnfollowed(
  folder: TargetFolder,
  name: string | null,
): Promise<FileHandle> {
  if (name === null) return open(`/proc/self/fd/${folder.descriptor}/.`, O_PATH);
  const path = `${folder.path === '/' ? '' : folder.path}/${name}`;
  const refuse = (what: string) =>
    new ActionError('not_a_plain_file', `${path} is ${what}; nothing was changed`);
  const handle = await open(folder.entry(name), O_PATH | O_NOFOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
      throw new ActionError('changed_since_plan', `${path} is not there`);
    },
  );
  const found = await handle.stat();
  if (found.isDirectory() || (found.isFile() && found.nlink === 1)) return handle;
  await handle.close();
  if (found.isFile()) throw refuse('a file with further names (hard links)');
  if (!found.isSymbolicLink()) throw refuse('neither file nor folder');
  throw refuse(`a symlink to ${await readlink(folder.entry(name))}`);
}

/** Of what was opened, whatever its name means by now. Durable when it returns. */
export async function setAttributes(
  handle: FileHandle,
  { mode, uid, gid }: FileAttributes,
): Promise<void> {
  const own = `/proc/self/fd/${handle.fd}`;
  const found = await handle.stat();
  if (found.uid !== uid || found.gid !== gid) await chown(own, uid, gid);
  // Last: giving away takes the set-user-id bit.
  await chmod(own, mode);
  await syncOpened(handle);
}

/** What was opened without being read; on disk when this returns. */
export async function syncOpened(handle: FileHandle): Promise<void> {
  const readable = await open(`/proc/self/fd/${handle.fd}`, O_RDONLY | O_NONBLOCK);
  try {
    await readable.sync();
  } finally {
    await readable.close();
  }
}

export function attributesOf({
  mode,
  uid,
  gid,
}: Pick<FileAttributes, 'mode' | 'uid' | 'gid'>): FileAttributes {
  return { mode: mode & 0o7777, uid, gid };
}
