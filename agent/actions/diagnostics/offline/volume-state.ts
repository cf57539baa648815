import type { CommandResult } from '../../../process/command.ts';
import { inspectDevice } from '../../../target/block-device.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { findLostKind } from '../../filesystem/filesystem-kind.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';

type Look = (argv: readonly string[]) => Promise<CommandResult>;

/** What the check of one kind of file system says; all of them only read. */
interface Checker {
  argv: (node: string) => string[];
  judge: (volume: Volume, done: CommandResult, command: string) => NewFinding[];
  /** What is asked when the check finds nothing. */
  next?: Checker;
}

/** Partition types that hold a Linux file system: GPT's (Discoverable Partitions Specification), MBR's. */
const LINUX_TYPES = new Set([
  '0fc63daf-8483-4772-8e79-3d69d8477de4',
  '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  'bc13c2ff-59e6-4262-a352-b275fd6f7172',
  '0x83',
]);

const EXT: Checker = {
  argv: (node) => ['e2fsck', '-f', '-n', node],
  judge: judgeExt,
  next: { argv: (node) => ['dumpe2fs', '-h', node], judge: judgeExtRecord },
};

const CHECKERS: Readonly<Record<string, Checker>> = {
  ext2: EXT,
  ext3: EXT,
  ext4: EXT,
  xfs: { argv: (node) => ['xfs_repair', '-n', node], judge: judgeXfs },
  btrfs: { argv: (node) => ['btrfs', 'check', '--readonly', node], judge: judgeBtrfs },
  vfat: { argv: (node) => ['fsck.fat', '-n', node], judge: judgeFat },
  ntfs: {
    argv: (node) => ['ntfs-3g.probe', '--readwrite', node],
    judge: judgeNtfs,
    // The probe says nothing of a volume that Windows is to check (ntfsinfo(8) does).
    next: { argv: (node) => ['ntfsinfo', '--mft', node], judge: judgeNtfsRecord },
  },
};

/** What is wrong with the file system of a volume, as the check of its kind sees it. Nothing is changed. */
export async function judgeVolume(volume: Volume, look: Look): Promise<NewFinding[]> {
  if (volume.problem !== null || volume.type === null) return judgeUnrecognised(volume);
  for (let checker = CHECKERS[volume.type]; checker !== undefined; checker = checker.next) {
    const argv = checker.argv(volume.node);
    const found = checker.judge(volume, await look(argv), argv.join(' '));
    if (found.length > 0) return found;
  }
  return [];
}

/** A file system whose first superblock is gone is known by the copies of it (`findLostKind`). */
async function judgeUnrecognised(volume: Volume): Promise<NewFinding[]> {
  const isLinux = LINUX_TYPES.has(volume.partitionType?.toLowerCase() ?? '');
  const lost =
    volume.problem === null ? await findLostKind(await inspectDevice(volume.node)) : null;
  if (lost === null && !isLinux && volume.problem === null) return [];
  const seen = volume.problem ?? (lost === null ? 'nothing recognised' : `copies of ${lost} only`);
  return [
    finding(volume, {
      rule: lost === null || lost === 'vfat' ? 'fs.unrecognised' : LOST_RULES[lost],
      severity: 'critical',
      title:
        lost === null
          ? `${volume.name} is to hold a file system, and none is recognised`
          : `The file system of ${volume.name} cannot be read: its first superblock is damaged`,
      evidence: [commandEvidence(`blkid -p ${volume.node}`, seen)],
      byHand:
        lost === null
          ? 'Look for what it held before anything is written: testdisk, or a specialist.'
          : 'Copies of the superblock are left: the repair of its file system uses them.',
    }),
  ];
}

const LOST_RULES = {
  ext: 'fs.ext4_super',
  xfs: 'fs.xfs_damage',
  btrfs: 'fs.btrfs_damage',
  ntfs: 'fs.ntfs_boot_sector',
} as const;

/** The journal is not replayed by looking: what it holds would look like damage (e2fsck(8), `-n`). */
function judgeExt(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  const said = `${done.out}\n${done.err}`.trim();
  if (/skipping journal recovery/i.test(said)) return [journalPending(volume, command, said)];
  if (done.exitStatus === 0) return [];
  // 8 alone: it could not begin; with 4 it has found errors that stop it, as those of the journal.
  const isUnreadable = ((done.exitStatus ?? 8) & 12) === 8;
  return [
    finding(volume, {
      rule: isUnreadable ? 'fs.ext4_super' : 'fs.ext4_errors',
      severity: 'critical',
      title: isUnreadable
        ? `The file system of ${volume.name} cannot be read: its superblock is damaged`
        : `The file system of ${volume.name} has errors`,
      evidence: [commandEvidence(command, said.slice(-400))],
      byHand: 'e2fsck -f -z UNDO-FILE, after a look at the health of the disk.',
    }),
  ];
}

/** Errors that the kernel met and wrote down; a check after them may find nothing (dumpe2fs(8)). */
function judgeExtRecord(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  const said = /^Filesystem state:.*\berrors\b.*$|^FS Error count:.*$/m.exec(done.out)?.[0];
  if (said === undefined) return [];
  return [
    finding(volume, {
      rule: 'fs.ext4_errors',
      severity: 'warning',
      title: `The kernel has met errors on the file system of ${volume.name}`,
      evidence: [commandEvidence(command, said)],
      byHand: 'Look at the health of the disk first; then e2fsck -f.',
    }),
  ];
}

/** 1 is damage or a log that was not replayed, told apart by its words (xfs_repair(8)). */
function judgeXfs(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  if (done.exitStatus === 0) return [];
  const said = `${done.out}\n${done.err}`.trim();
  if (/valuable metadata changes in a log/i.test(said)) {
    return [journalPending(volume, command, said)];
  }
  return [
    finding(volume, {
      rule: 'fs.xfs_damage',
      severity: 'critical',
      title: `The file system of ${volume.name} has errors`,
      evidence: [commandEvidence(command, said.slice(-400))],
      byHand: 'xfs_repair, after xfs_metadump; never with -L before everything else was tried.',
    }),
  ];
}

function judgeBtrfs(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  if (done.exitStatus === 0) return [];
  return [
    finding(volume, {
      rule: 'fs.btrfs_damage',
      severity: 'critical',
      title: `The file system of ${volume.name} has errors`,
      evidence: [commandEvidence(command, `${done.out}\n${done.err}`.trim().slice(-400))],
      byHand:
        'btrfs rescue super-recover, where only a superblock is damaged; never check --repair.',
    }),
  ];
}

function judgeFat(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  if (done.exitStatus === 0) return [];
  return [
    finding(volume, {
      rule: 'fs.fat_damage',
      severity: 'warning',
      title: `The file system of ${volume.name} was not unmounted cleanly, or has errors`,
      evidence: [commandEvidence(command, `${done.out}\n${done.err}`.trim().slice(-400))],
      byHand: 'fsck.fat -a',
    }),
  ];
}

/** 14: Windows hibernated; 15: not unmounted cleanly. Both are for Windows itself (ntfs-3g.probe(8)). */
function judgeNtfs(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  if (done.exitStatus !== 14 && done.exitStatus !== 15) return [];
  const rule = done.exitStatus === 14 ? 'win.hibernated' : 'win.dirty_volume';
  return [leftToWindows(volume, rule, command, `exit status ${done.exitStatus}`)];
}

function judgeNtfsRecord(volume: Volume, done: CommandResult, command: string): NewFinding[] {
  const said = /^.*scheduled for check.*$/m.exec(`${done.out}\n${done.err}`)?.[0];
  return said === undefined ? [] : [leftToWindows(volume, 'win.dirty_volume', command, said)];
}

function leftToWindows(
  volume: Volume,
  rule: 'win.hibernated' | 'win.dirty_volume',
  command: string,
  said: string,
): NewFinding {
  const isHibernated = rule === 'win.hibernated';
  const judged = finding(volume, {
    rule,
    severity: 'warning',
    title: isHibernated
      ? `Windows hibernated with ${volume.name} in use: nothing may write to it`
      : `${volume.name} was not unmounted cleanly: Windows has to check it`,
    evidence: [commandEvidence(command, said)],
    byHand: isHibernated
      ? 'Start Windows and shut it down whole (shutdown /s /t 0); never remove hiberfil.sys unasked.'
      : 'Start Windows: it runs chkdsk by itself.',
  });
  return { ...judged, suggestion: null };
}

function journalPending(volume: Volume, command: string, said: string): NewFinding {
  return finding(volume, {
    rule: 'fs.journal_pending',
    severity: 'warning',
    title: `${volume.name} was not unmounted: its journal is still to be replayed`,
    evidence: [commandEvidence(command, said.slice(0, 400))],
    byHand: 'A boot or a writable mount replays it; what was seen here may be older than what is.',
  });
}

type Judged = Omit<NewFinding, 'subject' | 'suggestion'>;

function finding(volume: Volume, judged: Judged): NewFinding {
  const { partition } = volume;
  return {
    ...judged,
    subject: volume.name,
    suggestion:
      partition === null ? null : { action: 'filesystem.repair', parameters: { partition } },
  };
}
