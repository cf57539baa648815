import type { ActionContext } from '../../../runner/action.ts';
import { counted } from '../counted.ts';
import { latestStamp, runE2fsck, type E2fsckRun } from './e2fsck.ts';
import { withBackupSuperblock, type ExtFilesystem } from './filesystem-examination.ts';
import { judgeLook, type Verdict } from './verdict.ts';

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
  return { filesystem, run, verdict: judgeLook(run) };
}

/**
 * Damage that e2fsck itself may pass over with exit status 0: it goes by copies, and does not count what the
 * superblock remembers.
 */
export function blemishes({ superblock, backup }: ExtFilesystem): string[] {
  const said: string[] = [];
  if (backup !== null) {
    const instead = `the copy at block ${backup.block} is used instead`;
    said.push(`The superblock or the group table is damaged; ${instead}.`);
  }
  if (superblock.errorsRecorded) {
    const errors = counted(superblock.errorCount, 'error', 'errors');
    said.push(`The kernel has recorded ${errors} here: look at the health of the disk too.`);
  }
  return said;
}

/** Whatever speaks for a repair without being damage: the next mount would put it in order too. */
export function unfinished({ superblock, backup }: ExtFilesystem): string[] {
  // Copies of the superblock never tell these.
  if (backup !== null) return [];
  if (superblock.needsRecovery) {
    return ['The journal holds changes that are not written to their places yet.'];
  }
  return superblock.cleanlyUnmounted ? [] : ['The file system was not unmounted cleanly.'];
}

function look(
  context: Pick<ActionContext, 'run' | 'signal' | 'progress'>,
  { device, superblock, backup }: ExtFilesystem,
  isLogged: boolean,
): Promise<E2fsckRun> {
  return runE2fsck(context, {
    device: device.path,
    mode: 'look',
    superblock: backup,
    now: latestStamp(superblock),
    isLogged,
    phase: 'checking',
    signal: context.signal,
  });
}
