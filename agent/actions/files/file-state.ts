import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ActionError } from '../../runner/action.ts';
import {
  openPlainFile,
  TargetPathError,
  type TargetFolder,
  type TargetRoot,
} from '../../target/target-root.ts';

/** Of a setting; what belongs to a package may be larger. */
const MAX_BYTES = 1024 * 1024;

/** Permissions with set-user-id and the like, and whose it is. */
export interface FileAttributes {
  mode: number;
  uid: number;
  gid: number;
}

/** What a file is to the one who changes it. */
export interface FileState extends FileAttributes {
  bytes: Buffer;
}

/**
 * Opens the folder of a path. Null when it, or one above it, is not there. Throws ActionError.
 *
 * @param straight refuses a way that leads over a symlink
 */
export async function openFolderOf(
  root: TargetRoot,
  path: string,
  straight = false,
): Promise<TargetFolder | null> {
  return openFolderAt(root, dirname(path), straight);
}

/** `openFolderOf` of the folder itself. */
export async function openFolderAt(
  root: TargetRoot,
  path: string,
  straight = false,
): Promise<TargetFolder | null> {
  const folder = await root.openFolder(path).catch((error: unknown) => {
    if (error instanceof TargetPathError && error.why === 'missing') return null;
    throw asActionError(error);
  });
  if (folder === null || !straight || folder.path === path) return folder;
  await folder.close();
  throw new ActionError(
    'not_a_plain_file',
    `${path} leads over a symlink to ${folder.path}; nothing was changed`,
  );
}

/** The file as it is now; null when there is none. Throws ActionError for what is no plain file. */
export async function readState(
  root: TargetRoot,
  path: string,
  straight = false,
  maxBytes = MAX_BYTES,
): Promise<FileState | null> {
  const folder = await openFolderOf(root, path, straight);
  if (folder === null) return null;
  try {
    return await readStateIn(folder, basename(path), maxBytes);
  } finally {
    await folder.close();
  }
}

export async function readStateIn(
  folder: TargetFolder,
  name: string,
  maxBytes = MAX_BYTES,
): Promise<FileState | null> {
  const handle = await openPlain(folder, name);
  if (handle === null) return null;
  try {
    return await stateOf(handle, `${folder.path}/${name}`, maxBytes);
  } finally {
    await handle.close();
  }
}

/** `openPlainFile` with the refusal an action ends with. */
export function openPlain(folder: TargetFolder, name: string): Promise<FileHandle | null> {
  return openPlainFile(folder, name).catch((error: unknown) => {
    throw asActionError(error);
  });
}

export async function stateOf(
  handle: FileHandle,
  path: string,
  maxBytes = MAX_BYTES,
): Promise<FileState> {
  const { size, mode, uid, gid } = await handle.stat();
  if (size > maxBytes) {
    throw new ActionError('file_too_large', `${path} has ${size} bytes: more than is changed`);
  }
  const bytes = Buffer.alloc(size);
  const { bytesRead } = await handle.read(bytes, 0, size, 0);
  return { bytes: bytes.subarray(0, bytesRead), mode: mode & 0o7777, uid, gid };
}

/** Of content, mode and owner, or of there being no file: what a plan asks to be unchanged. */
export function stateDigest(state: FileState | null): string {
  const hash = createHash('sha256');
  if (state === null) return `sha256:${hash.update('absent').digest('hex')}`;
  hash.update(`file ${state.mode.toString(8)} ${state.uid} ${state.gid}\n`).update(state.bytes);
  return `sha256:${hash.digest('hex')}`;
}

/** Of the content alone. */
export function contentDigest(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function asActionError(error: unknown): unknown {
  if (!(error instanceof TargetPathError)) return error;
  return new ActionError('not_a_plain_file', `${error.message}; nothing was changed`);
}
