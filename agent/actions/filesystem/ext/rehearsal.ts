import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { normalizeRanges, type ByteRange } from '../byte-ranges.ts';
import { latestStamp, runE2fsck, type E2fsckRun } from './e2fsck.ts';
import type { ExtFilesystem } from './filesystem-examination.ts';
import { SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET } from './superblock.ts';
import { readUndoFile } from './undo-file.ts';
import { judge } from './verdict.ts';
import type { WorkingCopy } from './working-copy.ts';

/** What a repair would do, seen on a copy. */
export interface Rehearsal {
  repair: E2fsckRun;
  /** Whether a second check of the repaired copy finds nothing. */
  endsClean: boolean;
  /** Stretches of the device that the repair overwrites, in whole blocks. */
  ranges: ByteRange[];
}

/**
 * Repairs the copy as the device would be repaired, and checks it again. Throws ActionError when the tool
 * cannot do its work: then it could not on the device either.
 */
export async function rehearse(
  context: Pick<ActionContext, 'run' | 'signal' | 'progress'>,
  filesystem: ExtFilesystem,
  copy: WorkingCopy,
  isLogged: boolean,
): Promise<Rehearsal> {
  const undoFile = join(copy.folder, 'rehearsal.undo');
  const common = {
    device: copy.name,
    directory: copy.folder,
    now: latestStamp(filesystem.superblock),
    isLogged,
    signal: context.signal,
  };
  await rm(undoFile, { force: true });
  try {
    const repair = await runE2fsck(context, {
      ...common,
      mode: 'repair',
      superblock: filesystem.backup,
      undoFile,
      phase: 'rehearsing',
    });
    const verdict = judge(repair);
    if (verdict.outcome === 'operational_error' || verdict.outcome === 'tool_too_old') {
      const reason = verdict.reason ?? verdict.outcome;
      throw new ActionError(reason === 'no_space' ? 'no_scratch_space' : reason, verdict.detail);
    }
    const second = await runE2fsck(context, {
      ...common,
      mode: 'look',
      superblock: null,
      isLogged: false,
      phase: 'checking the rehearsal',
    });
    const ranges = await overwritten(filesystem, undoFile);
    return { repair, endsClean: judge(second).outcome === 'clean', ranges };
  } finally {
    await rm(undoFile, { force: true });
  }
}

async function overwritten(filesystem: ExtFilesystem, undoFile: string): Promise<ByteRange[]> {
  const { superblock, device } = filesystem;
  const index = await readUndoFile(undoFile);
  if (index === null || !index.isComplete) {
    throw new ActionError('tool_failed', 'e2fsck left no usable list of what it overwrote');
  }
  const ranges: ByteRange[] = index.entries.map((entry) => [entry.deviceOffset, entry.bytes]);
  ranges.push([SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES]);
  return normalizeRanges(ranges, superblock.blockSize, device.bytes);
}
