import type { ActionContext } from '../../runner/action.ts';
import { runE2fsck, type E2fsckRun } from './e2fsck.ts';
import { withBackupSuperblock, type ExtFilesystem } from './filesystem-examination.ts';
import { judge, type Verdict } from './verdict.ts';

export interface FirstLook {
  filesystem: ExtFilesystem;
  run: E2fsckRun;
  verdict: Verdict;
}

/**
 * What e2fsck sees on the device, without changing it. Where it has to go by copies of the superblock and of
 * the group table, the file system comes back with the one to use, so that all tools use the same.
 */
export async function lookFirst(
  context: Pick<ActionContext, 'run' | 'signal' | 'progress'>,
  examined: ExtFilesystem,
  isLogged: boolean,
): Promise<FirstLook> {
  let filesystem = examined;
  let run = await look(context, filesystem, isLogged);
  if (run.transcript.usedBackupBlocks && filesystem.backup === null) {
    filesystem = await withBackupSuperblock(filesystem);
    if (filesystem.backup !== null && !isLogged) run = await look(context, filesystem, isLogged);
  }
  return { filesystem, run, verdict: judge(run) };
}

/**
 * What speaks for a repair although e2fsck itself may exit with 0: it does not count what the superblock
 * remembers, nor, without changing anything, the journal.
 */
export function remembered({ superblock, backup }: ExtFilesystem): string[] {
  const said: string[] = [];
  if (backup !== null) {
    said.push(
      `The superblock or the group table is damaged; the copy at block ${backup.block} is used instead.`,
    );
  }
  if (superblock.errorsRecorded) {
    said.push(
      `The kernel has recorded ${superblock.errorCount} errors on this file system: look at the health of the disk too.`,
    );
  }
  if (superblock.needsRecovery) {
    said.push('The journal holds changes that are not written to their places yet.');
  } else if (!superblock.cleanlyUnmounted) {
    said.push('The file system was not unmounted cleanly.');
  }
  return said;
}

function look(
  context: Pick<ActionContext, 'run' | 'signal' | 'progress'>,
  { device, backup, now }: ExtFilesystem,
  isLogged: boolean,
): Promise<E2fsckRun> {
  return runE2fsck(context, {
    device: device.path,
    mode: 'look',
    superblock: backup,
    now,
    isLogged,
    phase: 'checking',
    signal: context.signal,
  });
}
