import { constants } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import type { TargetFolder, TargetRoot } from '../../target/target-root.ts';
import { syncAndDigest, writeBackup } from '../filesystem/durable-write.ts';
import { readFlags, setFlags } from './file-flags.ts';
import { openFolderOf, openPlain, readStateIn, stateDigest, stateOf } from './file-state.ts';
import { makeFolders, missingFolders } from './folders.ts';
import { attributesAfter, type FileChange } from './plan-file-change.ts';
import {
  giveLabel,
  isLabelled,
  isRunning,
  policyLabel,
  usesLabels,
  writeLabel,
  type Labelling,
} from './security-label.ts';
import { copyName, draftName, recordName, type SavedFile } from './saved-file.ts';

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
/** Explicitly named, each that cannot be kept is an error (cp(1)); `mode` includes access control lists. */
const ATTRIBUTES = 'mode,ownership,timestamps,xattr';

type Context = Pick<ActionContext, 'run' | 'spec'>;
type Running = Pick<ActionContext, 'run'>;

/** A change whose backup is on disk. */
export interface PreparedChange {
  change: FileChange;
  saved: SavedFile;
  backups: SavedBackup[];
}

/**
 * Saves a file whole before it is changed: content, mode, owner, extended attributes. On disk when this
 * returns; the file is not touched. Throws ActionError `changed_since_plan` unless the file still has the
 * digest that the plan names.
 *
 * @param folder for backups; the same for all files of a job
 * @param index number of the file among those of the job
 */
export async function prepareChange(
  context: Context,
  root: TargetRoot,
  change: FileChange,
  expected: string,
  place: { folder: string; index: number },
): Promise<PreparedChange> {
  const name = basename(change.path);
  const madeFolders =
    change.content === null
      ? []
      : await missingFolders(root, dirname(change.path), change.straight);
  const inside = await openFolderOf(root, change.path, change.straight);
  const copy = join(place.folder, copyName(place.index));
  const backups: SavedBackup[] = [];
  try {
    const handle = inside === null ? null : await openPlain(inside, name);
    const before = handle === null ? null : await stateOf(handle, change.path, change.maxBytes);
    try {
      if (stateDigest(before) !== expected) throw stale(change.path);
      if (handle !== null) {
        await copyWhole(context, handle, copy);
        const kept = await syncAndDigest(copy);
        backups.push(kept);
      }
    } finally {
      await handle?.close();
    }
    const flags =
      inside === null || before === null || change.liftsFlags !== true
        ? ''
        : await readFlags(context, inside, name);
    const { content, straight, maxBytes } = change;
    const saved: SavedFile = {
      version: 1,
      job: context.spec.job,
      path: change.path,
      before: stateDigest(before),
      after: stateDigest(
        content === null ? null : { bytes: content, ...attributesAfter(change, before) },
      ),
      existed: before !== null,
      madeFolders,
      ...(straight === true && { straight }),
      ...(flags !== '' && { flags }),
      ...(maxBytes !== undefined && { maxBytes }),
    };
    const record = join(place.folder, recordName(place.index));
    backups.unshift(await writeBackup(record, JSON.stringify(saved)));
    return { change, saved, backups };
  } finally {
    await inside?.close();
  }
}

/**
 * Makes the change: after a crash at any moment the old file is there or the new one, whole. It is on disk
 * when this returns.
 */
export async function makeChange(
  context: Labelling,
  root: TargetRoot,
  { change, saved }: PreparedChange,
): Promise<void> {
  if (change.content !== null) {
    await makeFolders(root, dirname(change.path), change.folders, change.straight);
    await labelFolders(context, root, saved.madeFolders, change.label);
  }
  const folder = await openFolderOf(root, change.path, change.straight);
  if (folder === null) throw stale(change.path);
  const name = basename(change.path);
  try {
    if (stateDigest(await readStateIn(folder, name, change.maxBytes)) !== saved.before)
      throw stale(change.path);
    await withoutFlags(context, folder, name, saved.flags, async () => {
      if (change.content === null) await rm(folder.entry(name));
      else await writeOver(context, root, folder, name, change, saved.job);
      await folder.sync();
    });
    if (stateDigest(await readStateIn(folder, name, change.maxBytes)) === saved.after) return;
  } finally {
    await folder.close();
  }
  throw new ActionError('not_written', `${change.path} is not what was written to it`);
}

/** @param type as in `FileChange.label` */
export async function labelFolders(
  context: Labelling,
  root: TargetRoot,
  paths: readonly string[],
  type?: string,
): Promise<void> {
  for (const path of paths) {
    const parent = await root.openFolder(dirname(path));
    const own = await root.openFolder(path);
    try {
      await giveLabel(context, root, parent, own.descriptor, { type, path, kind: 'dir' });
    } finally {
      await own.close();
      await parent.close();
    }
  }
}

async function writeOver(
  context: Labelling,
  root: TargetRoot,
  folder: TargetFolder,
  name: string,
  change: FileChange,
  job: string,
): Promise<void> {
  await withDraft(folder, name, job, async (draft) => {
    await draft.writeFile(change.content!);
    const old = await openPlain(folder, name);
    try {
      if (old !== null) await copyAttributes(context, old, draft);
      await labelDraft(context, root, folder, old, draft, change);
      const before = old === null ? null : await stateOf(old, change.path, change.maxBytes);
      const { mode, uid, gid } = attributesAfter(change, before);
      await draft.chown(uid, gid);
      // Last: writing and giving away take the set-user-id bit.
      await draft.chmod(mode);
    } finally {
      await old?.close();
    }
  });
}

/** What is new gets a label, and what has none although its system needs it. */
async function labelDraft(
  context: Labelling,
  root: TargetRoot,
  folder: TargetFolder,
  old: FileHandle | null,
  draft: FileHandle,
  { path, label: type }: FileChange,
): Promise<void> {
  if (old === null) {
    return giveLabel(context, root, folder, draft.fd, { type, path, kind: 'file' });
  }
  if (isRunning(root) || !(await usesLabels(root)) || (await isLabelled(context, old.fd))) return;
  const label = await policyLabel(context, root, path, 'file');
  if (label !== null) await writeLabel(context, draft.fd, label);
}

/** Does something to a file that has no hindering flags meanwhile; what has the name then gets them back. */
export async function withoutFlags(
  context: Running,
  folder: TargetFolder,
  name: string,
  flags: string | undefined,
  body: () => Promise<void>,
): Promise<void> {
  if (flags === undefined) return body();
  const isThere = async () => (await readStateIn(folder, name)) !== null;
  if (await isThere()) await setFlags(context, folder, name, `-${flags}`);
  try {
    await body();
  } finally {
    if (await isThere()) await setFlags(context, folder, name, `+${flags}`);
  }
}

/** Lets `fill` write a new file, makes it durable, and gives it the name. */
export async function withDraft(
  folder: TargetFolder,
  name: string,
  job: string,
  fill: (draft: FileHandle) => Promise<void>,
): Promise<void> {
  const path = folder.entry(draftName(name, job));
  // Left by a job or an undo that was cut off.
  await rm(path, { force: true });
  const draft = await open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    await fill(draft);
    await draft.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await draft.close();
  }
  await rename(path, folder.entry(name));
}

async function copyWhole(context: Running, from: FileHandle, to: string): Promise<void> {
  const copy = await open(to, O_RDWR | O_CREAT | O_EXCL, 0o600);
  try {
    await copyOpen(context, from, copy, []);
  } finally {
    await copy.close();
  }
}

/** Content and attributes, from one open file to another. Throws ActionError when not all could be kept. */
export function copyOpen(
  context: Running,
  from: FileHandle,
  to: FileHandle,
  more: readonly string[],
): Promise<void> {
  return runCp(context, from, to, [`--preserve=${ATTRIBUTES}`, ...more]);
}

/** Mode, owner and extended attributes. Throws as `copyOpen`. */
export function copyAttributes(context: Running, from: FileHandle, to: FileHandle): Promise<void> {
  return runCp(context, from, to, ['--attributes-only', '--preserve=mode,ownership,xattr']);
}

async function runCp(
  context: Running,
  from: FileHandle,
  to: FileHandle,
  options: readonly string[],
): Promise<void> {
  // By descriptor: a name could mean another file by then.
  const words = ['--no-target-directory', ...options, '--', '/proc/self/fd/3', '/proc/self/fd/4'];
  const done = await context.run(['cp', ...words], {
    output: 'capture',
    descriptors: [from.fd, to.fd],
  });
  if (done.exitStatus === 0) return;
  throw new ActionError('backup_incomplete', `cp could not keep everything: ${done.err.trim()}`);
}

function stale(path: string): ActionError {
  return new ActionError('changed_since_plan', `${path} has changed since it was planned`);
}
