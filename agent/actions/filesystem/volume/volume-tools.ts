import type { FilesystemOutcome } from '../../../../proto/actions/filesystem.ts';
import type { CommandResult } from '../../../process/command.ts';
import type { FilesystemKind } from '../filesystem-kind.ts';

/** What a check of one kind comes to. */
export interface VolumeVerdict {
  outcome: Extract<
    FilesystemOutcome,
    'clean' | 'errors_left' | 'tool_too_old' | 'operational_error'
  >;
  reason: string | null;
  detail: string;
  /** How it is mended; null where nothing here may. */
  cure: Cure | null;
}

/** `replay`: a mount writes the journal out; `tool`: the repair of `VolumeTool`; `boot-sector`: from its copy. */
export type Cure = 'replay' | 'tool' | 'boot-sector';

export interface VolumeTool {
  check: (device: string) => string[];
  judge: (done: CommandResult) => VolumeVerdict;
  repair: ((device: string) => string[]) | null;
  /** Exit statuses by which the repair says that it did its work; the check afterwards decides. */
  repaired: readonly number[];
}

const clean: VolumeVerdict = {
  outcome: 'clean',
  reason: null,
  detail: 'No errors were found.',
  cure: null,
};

function damaged(
  detail: string,
  cure: Cure | null = 'tool',
  reason = 'errors_left',
): VolumeVerdict {
  return { outcome: 'errors_left', reason, detail, cure };
}

function failed(done: CommandResult, tool: string): VolumeVerdict {
  const said = `${done.err} ${done.out}`.trim().slice(-500);
  const isHardware = /input\/output error/i.test(said);
  return {
    outcome: 'operational_error',
    reason: isHardware ? 'hardware_failing' : 'tool_failed',
    detail: isHardware
      ? 'The disk reports input/output errors.'
      : `${tool} could not do its work (exit status ${done.exitStatus}): ${said}`,
    cure: null,
  };
}

const said = (done: CommandResult) => `${done.out}\n${done.err}`;
const isEio = (done: CommandResult) => /input\/output error/i.test(said(done));

/** fsck.fat(8): 0 nothing found, 1 errors found, 2 could not start; with `-n` it writes nothing. */
const vfat: VolumeTool = {
  check: (device) => ['fsck.fat', '-n', device],
  judge(done) {
    if (isEio(done)) return failed(done, 'fsck.fat');
    if (done.exitStatus === 0) return clean;
    if (done.exitStatus === 1) return damaged('It was not unmounted cleanly, or has errors.');
    return failed(done, 'fsck.fat');
  },
  repair: (device) => ['fsck.fat', '-a', device],
  repaired: [0, 1],
};

/**
 * xfs_repair(8): with `-n` 1 is damage or a log that was not replayed, told apart by its words. A log is
 * replayed by mounting; `-L` throws it away, and with it the last changes: never done here.
 */
const xfs: VolumeTool = {
  check: (device) => ['xfs_repair', '-n', device],
  judge(done) {
    if (isEio(done)) return failed(done, 'xfs_repair');
    if (done.exitStatus === 0) return clean;
    const words = said(done);
    if (/valuable metadata changes in a log|dirty log/i.test(words)) {
      return damaged('Its log holds changes that were not written.', 'replay', 'journal_pending');
    }
    if (/unsupported|unknown.*feature|incompatible/i.test(words) && done.exitStatus !== 1) {
      return {
        outcome: 'tool_too_old',
        reason: 'tool_too_old',
        detail: 'The file system has features that this xfs_repair does not know.',
        cure: null,
      };
    }
    return done.exitStatus === 1 ? damaged('xfs_repair finds errors.') : failed(done, 'xfs_repair');
  },
  repair: (device) => ['xfs_repair', device],
  repaired: [0],
};

/**
 * `btrfs check --repair` may do more harm than good and is left to specialists (btrfs-check(8)); a superblock
 * is written anew from its copies (btrfs-rescue(8)), where exit status 2 means that it was.
 */
const btrfs: VolumeTool = {
  check: (device) => ['btrfs', 'check', '--readonly', device],
  judge(done) {
    if (isEio(done)) return failed(done, 'btrfs check');
    if (done.exitStatus === 0) return clean;
    const isSuper = /no valid btrfs found|superblock (?:checksum|magic)|bad superblock/i.test(
      said(done),
    );
    if (isSuper) return damaged('Its first superblock is damaged; copies of it are left.');
    return damaged(
      'Its trees are damaged: that is work for a specialist, and nothing here writes to it.',
      null,
      'needs_specialist',
    );
  },
  repair: (device) => ['btrfs', 'rescue', 'super-recover', '-y', device],
  repaired: [0, 2],
};

/** Looked at only: chkdsk of Windows is what repairs it (ntfsfix(8)). */
const ntfs: VolumeTool = {
  check: (device) => ['ntfs-3g.probe', '--readwrite', device],
  judge(done) {
    if (isEio(done)) return failed(done, 'ntfs-3g.probe');
    switch (done.exitStatus) {
      case 0:
        return clean;
      case 12:
        return damaged('Its boot sector is gone.', 'boot-sector');
      case 14:
        return damaged(
          'Windows hibernated and has it in use: start Windows and shut it down whole.',
          null,
          'hibernated',
        );
      case 15:
        return damaged(
          'It was not unmounted cleanly: Windows checks it when it starts (chkdsk).',
          null,
          'needs_windows',
        );
      default:
        return failed(done, 'ntfs-3g.probe');
    }
  },
  repair: null,
  repaired: [],
};

export const volumeTools: Readonly<Record<Exclude<FilesystemKind, 'ext'>, VolumeTool>> = {
  vfat,
  xfs,
  btrfs,
  ntfs,
};
