import { readFile } from 'node:fs/promises';
import { ActionError } from '../../runner/action.ts';
import type { TriedChange } from '../../target/offline/tried-changes.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Change } from '../files/change-steps.ts';

/** An initramfs has some 50 MB. */
const FILE_MAX_BYTES = 256 * 1024 * 1024;
/** A kernel with its modules has 500 MB, and as much that it takes the place of. */
const SUM_MAX_BYTES = 2 * 1024 * 1024 * 1024;
const RECORD = '/var/lib/dpkg/';

/**
 * The changes by which what a program wrote in memory gets onto the disk, in an order in which dpkg's record
 * comes last: cut off before, it still says what is unfinished. Throws ActionError `unusual_change` for what
 * lies outside of `folders`, and, before any of it is read, for more than fits into memory.
 *
 * @param maxBytes of all files that are written and of those in their places; a sparse one counts in full
 */
export async function changesToTake(
  tried: readonly TriedChange[],
  {
    files,
    folders,
    maxBytes = Math.min(SUM_MAX_BYTES, Math.floor(process.availableMemory() / 2)),
  }: { files: TargetFiles; folders: readonly string[]; maxBytes?: number },
): Promise<Change[]> {
  await requireRoom(tried, files, maxBytes);
  const changes: Change[] = [];
  for (const one of tried) {
    if (one.kind === 'folder' && !one.isNew && (await isSameFolder(files, one))) continue;
    if (!folders.some((folder) => one.path.startsWith(`${folder}/`))) {
      throw new ActionError(
        'unusual_change',
        `${one.path} would be changed, which no package has to do. Nothing was changed.`,
      );
    }
    changes.push(await changeOf(one, files));
  }
  const isLast = ({ path }: Change) => path.startsWith(RECORD);
  return [...changes.filter((one) => !isLast(one)), ...changes.filter(isLast)];
}

async function requireRoom(
  tried: readonly TriedChange[],
  files: TargetFiles,
  maxBytes: number,
): Promise<void> {
  let bytes = 0;
  for (const one of tried) {
    const before = await files.lstat(one.path);
    if (before?.isFile() === true) bytes += before.size;
    if (one.kind === 'file') bytes += one.stats.size;
    if (bytes <= maxBytes) continue;
    throw new ActionError(
      'unusual_change',
      `More would be changed than the ${Math.floor(maxBytes / 1024 / 1024)} MiB that fit into memory here. Nothing was changed.`,
    );
  }
}

async function changeOf(one: TriedChange, files: TargetFiles): Promise<Change> {
  const { path } = one;
  if (one.kind === 'gone') {
    const found = await files.lstat(path);
    return found?.isSymbolicLink() === true
      ? { kind: 'link', path, target: null }
      : { kind: 'file', path, content: null, mode: 0, maxBytes: FILE_MAX_BYTES };
  }
  if (one.kind === 'link') return { kind: 'link', path, target: one.leadsTo };
  const { uid, gid } = one.stats;
  const attributes = { mode: one.stats.mode & 0o7777, uid, gid };
  if (one.kind === 'folder') {
    return one.isNew
      ? { kind: 'folder', path, ...attributes }
      : { kind: 'attributes', path, ...attributes };
  }
  if (one.stats.size > FILE_MAX_BYTES) {
    throw new ActionError('unusual_change', `${path} is too large. Nothing was changed.`);
  }
  return {
    kind: 'file',
    path,
    content: await readFile(one.from),
    mode: attributes.mode,
    owner: { uid, gid },
    corrects: attributes,
    // Nobody is shown what differs: a record of dpkg's has a megabyte.
    copyOf: one.from,
    maxBytes: FILE_MAX_BYTES,
  };
}

async function isSameFolder(
  files: TargetFiles,
  { path, stats }: Extract<TriedChange, { kind: 'folder' }>,
): Promise<boolean> {
  const found = await files.lstat(path);
  return found?.mode === stats.mode && found.uid === stats.uid && found.gid === stats.gid;
}
