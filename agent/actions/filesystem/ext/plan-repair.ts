import { z } from 'zod';
import { deviceOf } from '../named-volume.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { checkBackupPlace } from '../backup-place.ts';
import { totalBytes } from '../byte-ranges.ts';
import { examineFilesystem, type ExtFilesystem } from './filesystem-examination.ts';
import { blemishes, lookFirst, unfinished } from './first-look.ts';
import { counted } from '../counted.ts';
import { rehearse, type Rehearsal } from './rehearsal.ts';
import { repairFindings } from './repair-findings.ts';
import { repairSteps } from './repair-steps.ts';
import { copyFaithfully, removeCopy, type WorkingCopy } from './working-copy.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;

/** What a plan is for; apply compares it with what it finds. */
export const repairTargetSchema = z.strictObject({
  device: z.string(),
  bytes: z.int(),
  filesystem: z.enum(['ext2', 'ext3', 'ext4']),
  uuid: z.string(),
  blockSize: z.int(),
  /** What the precondition's digest is of. */
  copied: z.enum(['metadata', 'whole']),
  /** The copy of the superblock the tools use; null while the one at its place is sound. */
  superblock: z.strictObject({ block: z.int(), blockSize: z.int() }).nullable(),
  /** Of a piece of the order's disks. */
  offline: z.strictObject({ disk: z.string() }).optional(),
  /** What a volume of LVM, RAID or LUKS is, and what it lies on. */
  storage: z.string().optional(),
});
export type RepairTarget = z.output<typeof repairTargetSchema>;

/** What no repair changes. Other failures of a look may come from the damage itself. */
const HOPELESS = new Set(['tool_too_old', 'hardware_failing', 'device_in_use']);

/**
 * Plans by rehearsing: what is shown is what e2fsck did to a copy. A file system that needs nothing gets a
 * plan without steps.
 */
export async function planRepair(context: ActionContext): Promise<PlanBody> {
  const device = deviceOf(context);
  const look = await lookFirst(context, await examineFilesystem(context, device), false);
  const { filesystem, verdict } = look;
  if (verdict.reason !== null && HOPELESS.has(verdict.reason)) {
    throw new ActionError(verdict.reason, verdict.detail);
  }
  if (filesystem.superblock.multiMountProtection) {
    throw new ActionError(
      'multi_mount_protection',
      'other machines may use this file system (feature mmp), and e2fsck cannot be undone on it',
    );
  }
  await checkBackupPlace(context, 0);
  const copy = await copyFaithfully(context, filesystem, look.run);
  try {
    const reasons = [...blemishes(filesystem), ...unfinished(filesystem)];
    if (verdict.outcome === 'clean' && reasons.length === 0) return nothingToDo(filesystem, copy);
    const rehearsal = await rehearse(context, filesystem, copy, true);
    await checkBackupPlace(context, backupBytes(copy, rehearsal));
    return repairPlan(context, filesystem, copy, rehearsal);
  } finally {
    await removeCopy(copy);
  }
}

/** Upper bound of what a repair saves: the metadata, and each overwritten block as it was, as e2fsck saves it, and as it became. */
export function backupBytes(
  copy: Pick<WorkingCopy, 'kind' | 'bytes'>,
  rehearsal: Rehearsal,
): number {
  const blocks = totalBytes(rehearsal.ranges);
  const lists = 64 * rehearsal.ranges.length + 64 * 1024;
  return (copy.kind === 'metadata' ? copy.bytes : 0) + 3 * (blocks + lists);
}

function nothingToDo(filesystem: ExtFilesystem, copy: WorkingCopy): PlanBody {
  return {
    target: { ...targetOf(filesystem, copy) },
    summary: `Nothing to do: the ${filesystem.superblock.type} file system on ${filesystem.device.path} is clean.`,
    findings: [],
    preconditions: [precondition(copy)],
    steps: [],
  };
}

function repairPlan(
  context: ActionContext,
  filesystem: ExtFilesystem,
  copy: WorkingCopy,
  rehearsal: Rehearsal,
): PlanBody {
  const { device, superblock } = filesystem;
  const { problemCount } = rehearsal.repair.transcript;
  const blocks = Math.ceil(totalBytes(rehearsal.ranges) / superblock.blockSize);
  const what = [
    problemCount > 0 ? counted(problemCount, 'problem', 'problems') : 'bring it in order',
    `${counted(blocks, 'block', 'blocks')} overwritten`,
  ].join(', ');
  const end = rehearsal.endsClean
    ? 'Afterwards it is clean, as the rehearsal showed.'
    : 'Errors would be left, as the rehearsal showed.';
  return {
    target: { ...targetOf(filesystem, copy) },
    summary: `Repair the ${superblock.type} file system on ${device.path}: ${what}. ${end}`,
    findings: repairFindings(filesystem, copy, rehearsal),
    preconditions: [precondition(copy)],
    steps: repairSteps(context, filesystem, copy, rehearsal),
  };
}

function targetOf(
  { device, superblock, backup }: ExtFilesystem,
  copy: WorkingCopy,
): Omit<RepairTarget, 'offline' | 'storage'> {
  return {
    device: device.path,
    bytes: device.bytes,
    filesystem: superblock.type,
    uuid: superblock.uuid,
    blockSize: superblock.blockSize,
    copied: copy.kind,
    superblock: backup === null ? null : { block: backup.block, blockSize: backup.blockSize },
  };
}

function precondition(copy: WorkingCopy): Plan['preconditions'][number] {
  return {
    what:
      copy.kind === 'metadata'
        ? 'the metadata of the file system, as e2image -Q saves it'
        : 'all bytes of the device',
    digest: copy.digest,
  };
}
