import { constants } from 'node:fs';
import { copyFile, open, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { normalizeRanges, pieces, subtractRanges, type ByteRange } from '../byte-ranges.ts';
import { CommandStartError } from '../../../process/command-start-error.ts';
import { readDevice } from '../device-io.ts';
import { syncAndDigest } from '../durable-write.ts';
import { patchFromCopy, type Patch } from '../patch/patch.ts';
import type { Keepsake, Work } from '../patch/patched-kind.ts';
import { scratchFolder, usableBytes } from '../scratch-space.ts';
import { saysInputOutputError, type Sight } from '../sight.ts';
import { copySparsely } from '../sparse-copy.ts';
import { judgeXfs } from './judge-xfs.ts';
import type { XfsSuperblock } from './xfs-superblock.ts';

const METADATA = 'metadata.metadump';
export const XFS_COPY = 'copy';
/** Of what is free: the dump and the copy made of it need about the same. */
const METADATA_SHARE = 0.4;
const WHOLE_SHARE = 0.9;
/** With other sizes a written block and its neighbours cannot be told apart by what the copy has of them. */
const MAPPED_BLOCK_BYTES = 4096;
const SECTOR_BYTES = 512;

/** A copy on which xfs_repair may do what it likes. */
export interface XfsCopy {
  kind: 'metadata' | 'whole';
  /** Where the file `copy` lies. */
  folder: string;
  /** Of what was copied, for the plan. */
  digest: string;
  /** What the repair of the copy has changed. Null when that cannot be told: copy the whole then. */
  changes(): Promise<Patch | null>;
  keepsake: Keepsake | null;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Copies the metadata, and makes sure that xfs_repair sees in the copy what it saw on the device. Null where
 * xfs_metadump(8) cannot follow the damage or leaves out what matters.
 */
export async function copyXfsMetadata(
  work: Work,
  superblock: XfsSuperblock,
  seen: Sight,
): Promise<XfsCopy | null> {
  if (superblock.blockBytes !== MAPPED_BLOCK_BYTES) return null;
  const { volume, device, handle } = work;
  const { context } = volume;
  const folder = await scratchFolder(context);
  const [dump, path] = [join(folder, METADATA), join(folder, XFS_COPY)];
  const drop = async () => {
    for (const name of [METADATA, XFS_COPY]) await rm(join(folder, name), { force: true });
  };
  await drop();
  const maxBytes = Math.floor((await usableBytes(folder)) * METADATA_SHARE);
  context.progress('copying', null, 'copying the metadata');
  const isCopied =
    (await succeeds(context, folder, metadumpCommand(device.path), maxBytes)) &&
    (await succeeds(context, folder, ['xfs_mdrestore', METADATA, XFS_COPY], null));
  if (!isCopied) {
    await drop();
    return null;
  }
  const copied = await dataOf(context, folder);
  const saved = await syncAndDigest(dump);
  const copy = await open(path);
  const isSame =
    (await patchFromCopy(context, handle, copy, copied, MAPPED_BLOCK_BYTES)).ranges.length === 0 &&
    (isSameSight(seen, await lookAtXfsCopy(context, folder)) ||
      // Threads may tell of the same in other words.
      isSameSight(seen, await lookAtXfsCopy(context, folder)));
  if (!isSame) {
    await copy.close();
    await drop();
    return null;
  }
  return {
    kind: 'metadata',
    folder,
    digest: saved.digest,
    async changes() {
      // What was zeroed may be a hole now.
      const within = normalizeRanges(
        [...copied, ...(await dataOf(context, folder))],
        1,
        device.bytes,
      );
      const patch = await patchFromCopy(context, handle, copy, within, MAPPED_BLOCK_BYTES);
      return (await isCertain(patch, copy, copied, superblock)) ? patch : null;
    },
    keepsake: {
      what: 'the metadata as xfs_metadump saves it',
      bytes: saved.bytes,
      async save(backups) {
        const kept = join(backups, METADATA);
        // It lies in the job's folder, and the backups may lie on another disk.
        await copyFile(dump, kept, constants.COPYFILE_EXCL);
        return syncAndDigest(kept);
      },
    },
    async [Symbol.asyncDispose]() {
      await copy.close();
      await drop();
    },
  };
}

/** Copies every byte. Throws ActionError `no_scratch_space`. */
export async function copyXfsWhole(work: Work, usedBytes: number): Promise<XfsCopy> {
  const { volume, device, handle } = work;
  const { context } = volume;
  const folder = await scratchFolder(context);
  const path = join(folder, XFS_COPY);
  const drop = () => rm(path, { force: true });
  const maxBytes = Math.floor((await usableBytes(folder)) * WHOLE_SHARE);
  if (usedBytes > maxBytes) {
    const need = `a copy of ${volume.name} needs ${usedBytes} bytes, and ${maxBytes} may be used`;
    throw new ActionError('no_scratch_space', need);
  }
  await drop();
  try {
    const { digest } = await copySparsely(context, device, handle, path, maxBytes);
    const copy = await open(path);
    return {
      kind: 'whole',
      folder,
      digest,
      changes: () => patchFromCopy(context, handle, copy, [[0, device.bytes]], SECTOR_BYTES),
      keepsake: null,
      async [Symbol.asyncDispose]() {
        await copy.close();
        await drop();
      },
    };
  } catch (error) {
    await drop();
    throw error;
  }
}

/** `-o`: names as they are; `-a`: whole blocks, also what of them is not in use (xfs_metadump(8)). */
export function metadumpCommand(device: string): string[] {
  return ['xfs_metadump', '-o', '-a', device, METADATA];
}

export async function lookAtXfsCopy(context: ActionContext, folder: string): Promise<Sight> {
  const done = await context.run(['xfs_repair', '-n', XFS_COPY], {
    directory: folder,
    output: 'capture',
    signal: context.signal,
  });
  return judgeXfs(done, null);
}

function isSameSight(one: Sight, other: Sight): boolean {
  return (
    one.outcome === other.outcome &&
    one.exitStatus === other.exitStatus &&
    one.problems.join('\n') === other.problems.join('\n')
  );
}

/**
 * Where nothing was copied to, the copy is zero whatever the device has: a block there that was written is
 * known by its content, one that was zeroed is not. And the head of a group is written in parts of a block.
 */
async function isCertain(
  { ranges }: Patch,
  copy: FileHandle,
  copied: readonly ByteRange[],
  { groupBytes }: XfsSuperblock,
): Promise<boolean> {
  const zero = Buffer.alloc(MAPPED_BLOCK_BYTES);
  const buffer = Buffer.alloc(MAPPED_BLOCK_BYTES);
  for (const [start, length] of pieces(subtractRanges(ranges, copied), MAPPED_BLOCK_BYTES)) {
    if (start % groupBytes === 0) return false;
    const block = await readDevice(copy, buffer, start, length);
    if (block.equals(zero.subarray(0, length))) return false;
  }
  return true;
}

/** Stretches of the copy that hold something; the rest was never written. */
async function dataOf(context: ActionContext, folder: string): Promise<ByteRange[]> {
  const argv = ['xfs_io', '-r', '-c', 'seek -a -r 0', XFS_COPY];
  const done = await context.run(argv, {
    directory: folder,
    output: 'capture',
    signal: context.signal,
  });
  if (done.exitStatus !== 0 || done.truncated) {
    throw new ActionError('tool_failed', `xfs_io cannot tell what a copy holds: ${done.err}`);
  }
  const { size } = await stat(join(folder, XFS_COPY));
  const marks = [...done.out.matchAll(/^(DATA|HOLE)\s+(\d+)$/gm)].map(([, kind, at]) => ({
    isData: kind === 'DATA',
    at: Number(at),
  }));
  return marks.flatMap(({ isData, at }, index): ByteRange[] =>
    isData && at < size ? [[at, (marks[index + 1]?.at ?? size) - at]] : [],
  );
}

async function succeeds(
  context: ActionContext,
  folder: string,
  argv: readonly string[],
  maxBytes: number | null,
): Promise<boolean> {
  const limit = maxBytes === null ? [] : ['prlimit', `--fsize=${maxBytes}`, '--core=0', '--'];
  const options = { directory: folder, output: 'capture', signal: context.signal } as const;
  try {
    const done = await context.run([...limit, ...argv], options);
    if (context.signal.aborted) throw new ActionError('stopped', 'stopped while copying');
    if (saysInputOutputError(done)) {
      throw new ActionError('hardware_failing', 'the disk cannot give all of the metadata');
    }
    return done.exitStatus === 0;
  } catch (error) {
    if (!(error instanceof CommandStartError)) throw error;
    throw new ActionError('tool_missing', `${argv[0]} cannot be run here: ${error.message}`);
  }
}
