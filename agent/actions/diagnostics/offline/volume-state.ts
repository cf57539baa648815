import type { CommandResult } from '../../../process/command.ts';
import { inspectDevice } from '../../../target/block-device.ts';
import type { OpenDisks } from '../../../target/offline/open-disks.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { readPrimary } from '../../filesystem/ext/filesystem-examination.ts';
import { findLostKind, patchedKinds } from '../../filesystem/filesystem-kind.ts';
import { parametersFor } from '../../filesystem/named-volume.ts';
import { saysInputOutputError, type Look } from '../../filesystem/sight.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';
import { ProbeFailure } from '../probe.ts';

/** Partition types that hold a Linux file system: GPT's (Discoverable Partitions Specification), MBR's. */
const LINUX_TYPES = new Set([
  '0fc63daf-8483-4772-8e79-3d69d8477de4',
  '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  'bc13c2ff-59e6-4262-a352-b275fd6f7172',
  '0x83',
]);

const EXT = /^ext[234](?:dev)?$/;

/** A volume, and how its repair is ordered where it can be. */
interface JudgedVolume extends Volume {
  repair: NewFinding['suggestion'];
}

/** What is wrong with the file system of a volume, as the check of its kind sees it. Nothing is changed. */
export async function judgeVolume(
  open: Pick<OpenDisks, 'volumes' | 'disks'>,
  bare: Volume,
  look: Look,
): Promise<NewFinding[]> {
  const parameters = parametersFor(bare, open);
  const volume: JudgedVolume = {
    ...bare,
    repair: parameters === null ? null : { action: 'filesystem.repair', parameters },
  };
  const { type, node } = volume;
  if (volume.problem !== null || type === null) return judgeUnrecognised(volume, look);
  if (EXT.test(type)) {
    const argv = ['e2fsck', '-f', '-n', node];
    return judgeExt(volume, await look(argv), argv.join(' '));
  }
  return Object.hasOwn(patchedKinds, type)
    ? judgePatched(volume, look, type as keyof typeof patchedKinds)
    : [];
}

async function judgePatched(
  volume: JudgedVolume,
  look: Look,
  kind: keyof typeof patchedKinds,
): Promise<NewFinding[]> {
  let command = '';
  let said = '';
  const watched: Look = async (argv) => {
    const done = await look(argv);
    command = argv.join(' ');
    said = `${done.out}\n${done.err}`.trim();
    return done;
  };
  const sight = await patchedKinds[kind].look(watched, await inspectDevice(volume.node));
  if (sight.fault === null) {
    if (sight.outcome === 'clean') return [];
    if (sight.reason === 'hardware_failing') return [unreadable(volume, command, said)];
    throw new ProbeFailure(sight.detail);
  }
  const { rule, severity, byHand, isRepairable } = sight.fault;
  const judged = finding(volume, {
    rule,
    severity,
    title: `${volume.name} (${kind}): ${sight.detail}`,
    evidence: [commandEvidence(command || 'dd', said.slice(-400) || sight.detail)],
    byHand,
  });
  return [isRepairable ? judged : { ...judged, suggestion: null }];
}

/** A file system whose first superblock is gone is known by the copies of it (`findLostKind`). */
async function judgeUnrecognised(volume: JudgedVolume, look: Look): Promise<NewFinding[]> {
  const isLinux = LINUX_TYPES.has(volume.partitionType?.toLowerCase() ?? '');
  const lost =
    volume.problem === null ? await findLostKind(await inspectDevice(volume.node)) : null;
  if (lost === null && !isLinux && volume.problem === null) return [];
  if (lost !== null && lost !== 'ext') return judgePatched(volume, look, lost);
  // As the repair looks for it: without a superblock and without copies there is nothing to repair.
  const isRepairable =
    lost !== null || (await readPrimary(await inspectDevice(volume.node))) !== null;
  const seen = volume.problem ?? (lost === null ? 'nothing recognised' : 'copies of it only');
  const judged = { ...volume, repair: isRepairable ? volume.repair : null };
  return [
    finding(judged, {
      rule: lost === null ? 'fs.unrecognised' : 'fs.ext4_super',
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

/** The journal is not replayed by looking: what it holds would look like damage (e2fsck(8), `-n`). */
async function judgeExt(
  volume: JudgedVolume,
  done: CommandResult,
  command: string,
): Promise<NewFinding[]> {
  const said = `${done.out}\n${done.err}`.trim();
  if (saysInputOutputError(done)) return [unreadable(volume, command, said)];
  if (/skipping journal recovery/i.test(said)) return [journalPending(volume, command, said)];
  if (done.exitStatus === 0) return judgeRecorded(volume);
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

/** e2fsck(8) with `-n` passes over what the kernel has noted in the superblock, with exit status 0. */
async function judgeRecorded(volume: JudgedVolume): Promise<NewFinding[]> {
  const superblock = await readPrimary(await inspectDevice(volume.node));
  if (superblock?.errorsRecorded !== true) return [];
  const { errorCount } = superblock;
  return [
    finding(volume, {
      rule: 'fs.ext4_errors',
      severity: 'warning',
      title: `The kernel has met errors in the file system of ${volume.name}`,
      evidence: [commandEvidence(`dumpe2fs -h ${volume.node}`, `FS Error count: ${errorCount}`)],
      byHand: 'Look at the health of the disk first; then e2fsck -f -z UNDO-FILE.',
    }),
  ];
}

/** No repair: the hardware comes first. */
function unreadable(volume: JudgedVolume, command: string, said: string): NewFinding {
  const judged = finding(volume, {
    rule: 'hw.io_errors',
    severity: 'critical',
    title: `The disk cannot give all of ${volume.name}`,
    evidence: [commandEvidence(command, said.slice(-400))],
    byHand: 'Write nothing to this disk, save its data, and hand the case over to the data centre.',
  });
  return { ...judged, suggestion: null };
}

function journalPending(volume: JudgedVolume, command: string, said: string): NewFinding {
  return finding(volume, {
    rule: 'fs.journal_pending',
    severity: 'warning',
    title: `${volume.name} was not unmounted: its journal is still to be replayed`,
    evidence: [commandEvidence(command, said.slice(0, 400))],
    byHand: 'A boot or a writable mount replays it; what was seen here may be older than what is.',
  });
}

type Judged = Omit<NewFinding, 'subject' | 'suggestion'>;

function finding({ name, repair }: JudgedVolume, judged: Judged): NewFinding {
  return { ...judged, subject: name, suggestion: repair };
}
