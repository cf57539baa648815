import { rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { openDevice } from '../device-io.ts';
import { latestStamp, runE2fsck, type E2fsckRun } from './e2fsck.ts';
import type { ExtFilesystem } from './filesystem-examination.ts';
import {
  makeMetadataImage,
  MetadataUnreadableError,
  unpackMetadataImage,
} from './metadata-image.ts';
import { scratchFolder, usableBytes } from '../scratch-space.ts';
import { copySparsely } from '../sparse-copy.ts';

type Context = Pick<ActionContext, 'run' | 'signal' | 'progress' | 'directory' | 'note'>;

/** A copy of a file system on which tools may do what they like. */
export interface WorkingCopy {
  /** Only the metadata, or every byte. */
  kind: 'metadata' | 'whole';
  folder: string;
  /** Name in `folder`. */
  name: string;
  /** SHA-256 of what was copied: the saved metadata, or all bytes of the device. */
  digest: string;
  bytes: number;
}

const COPY = 'copy';
/** Of what is free: the image, the copy made of it, and what e2fsck adds need about the same each. */
const IMAGE_SHARE = 0.4;

/**
 * Copies the metadata, and makes sure that e2fsck sees in the copy what it sees on the device (`seen`).
 * Where e2image cannot follow the damage, or leaves out what matters, everything is copied instead.
 */
export async function copyFaithfully(
  context: Context,
  filesystem: ExtFilesystem,
  seen: E2fsckRun,
): Promise<WorkingCopy> {
  try {
    const copy = await copyMetadata(context, filesystem);
    if (isSameSight(seen, await lookAtCopy(context, filesystem, copy), filesystem, copy))
      return copy;
    context.note('A copy of the metadata alone does not show what the device shows.');
    await removeCopy(copy);
  } catch (error) {
    if (!(error instanceof MetadataUnreadableError)) throw error;
    context.note(`e2image cannot follow the metadata: ${error.message}`);
  }
  context.note('The whole device is copied instead.');
  const claim = await openDevice(filesystem.device, 'read');
  try {
    return await copyWhole(context, filesystem, claim);
  } finally {
    await claim.close();
  }
}

/**
 * Copies what `kind` says. `image` says where to keep the saved metadata; without it that is thrown away.
 * `claim` is the device, opened by who keeps it from being mounted meanwhile.
 */
export async function copyAs(
  context: Context,
  filesystem: ExtFilesystem,
  kind: WorkingCopy['kind'],
  image: { path: string; maxBytes: number } | null,
  claim: FileHandle,
): Promise<WorkingCopy> {
  return kind === 'whole'
    ? copyWhole(context, filesystem, claim)
    : copyMetadata(context, filesystem, image);
}

export async function removeCopy(copy: WorkingCopy): Promise<void> {
  await rm(join(copy.folder, copy.name), { force: true });
}

async function copyMetadata(
  context: Context,
  filesystem: ExtFilesystem,
  image: { path: string; maxBytes: number } | null = null,
): Promise<WorkingCopy> {
  const folder = await scratchFolder(context);
  const usable = await usableBytes(folder);
  const path = image?.path ?? join(folder, 'metadata.qcow2');
  const maxBytes = Math.floor(Math.min(usable * IMAGE_SHARE, image?.maxBytes ?? usable));
  context.progress('copying the metadata', null, 'copying the metadata');
  try {
    const { device, backup } = filesystem;
    const saved = await makeMetadataImage(context, {
      device: device.path,
      superblock: backup,
      path,
      maxBytes,
    });
    await unpackMetadataImage(context, path, join(folder, COPY));
    return { kind: 'metadata', folder, name: COPY, digest: saved.digest, bytes: saved.bytes };
  } catch (error) {
    if (!(error instanceof ActionError && error.reason === 'no_space')) throw error;
    const isBackup = image !== null && maxBytes < Math.floor(usable * IMAGE_SHARE);
    throw new ActionError(isBackup ? 'no_backup_space' : 'no_scratch_space', error.message);
  } finally {
    if (image === null) await rm(path, { force: true });
  }
}

async function copyWhole(
  context: Context,
  { device }: ExtFilesystem,
  claim: FileHandle,
): Promise<WorkingCopy> {
  const folder = await scratchFolder(context);
  const maxBytes = Math.floor((await usableBytes(folder)) * 0.9);
  const path = join(folder, COPY);
  try {
    const { digest, bytes } = await copySparsely(context, device, claim, path, maxBytes);
    return { kind: 'whole', folder, name: COPY, digest, bytes };
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function lookAtCopy(
  context: Context,
  { superblock, backup }: ExtFilesystem,
  copy: WorkingCopy,
): Promise<E2fsckRun> {
  return runE2fsck(context, {
    device: copy.name,
    directory: copy.folder,
    mode: 'look',
    superblock: backup,
    now: latestStamp(superblock),
    isLogged: false,
    phase: 'comparing the copy',
    signal: context.signal,
  });
}

function isSameSight(
  device: E2fsckRun,
  other: E2fsckRun,
  filesystem: ExtFilesystem,
  copy: WorkingCopy,
): boolean {
  const words = ({ transcript }: E2fsckRun, name: string) =>
    transcript.problems.map(({ text }) => text.replaceAll(name, '')).join('\n');
  return (
    device.exitStatus === other.exitStatus &&
    device.transcript.problemCount === other.transcript.problemCount &&
    words(device, filesystem.device.path) === words(other, copy.name)
  );
}
