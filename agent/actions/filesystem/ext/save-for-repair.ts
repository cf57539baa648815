import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import { checkBackupPlace, dropBackupFolder, makeBackupFolder } from '../backup-place.ts';
import { backupBytes, repairTargetSchema } from './plan-repair.ts';
import { digestDevice, WHOLE_DIGEST_MAX_BYTES } from '../device-digest.ts';
import { readDevice } from '../device-io.ts';
import { writeBackup } from '../durable-write.ts';
import type { ExtFilesystem } from './filesystem-examination.ts';
import { rehearse, type Rehearsal } from './rehearsal.ts';
import { repairFindings } from './repair-findings.ts';
import { backupNames, type RepairRecord } from './repair-record.ts';
import { SavedBlocks } from '../saved-blocks.ts';
import { stalePlan } from '../stale-plan.ts';
import { copyAs, removeCopy, type WorkingCopy } from './working-copy.ts';

export interface SavedForRepair {
  folder: string;
  record: RepairRecord;
  rehearsal: Rehearsal;
  /** All that was saved; digests for the journal. */
  backups: SavedBackup[];
  /** Of these, what the repair needs to be undone. */
  blocks: SavedBackup[];
}

/**
 * Saves, durably, the metadata and each block that a rehearsal of the repair overwrites, after making sure
 * that plan and device still fit together. Leaves nothing behind when it fails.
 */
export async function saveForRepair(
  context: ActionContext,
  plan: Plan,
  filesystem: ExtFilesystem,
  claim: FileHandle,
): Promise<SavedForRepair> {
  const planned = plan.steps.reduce((sum, step) => sum + (step.backup?.bytes ?? 0), 0);
  const usable = await checkBackupPlace(context, planned);
  const folder = await makeBackupFolder(context);
  try {
    const { copied } = repairTargetSchema.parse(plan.target);
    const path = join(folder, backupNames.metadata);
    const image = { path, maxBytes: usable };
    const copy = await copyAs(context, filesystem, copied, image, claim);
    try {
      if (copy.digest !== plan.preconditions[0]?.digest) {
        throw stalePlan('its metadata differs');
      }
      const rehearsal = await rehearseAsPlanned(context, plan, filesystem, copy);
      const needed = backupBytes({ kind: 'whole', bytes: 0 }, rehearsal);
      await checkBackupPlace(context, needed);
      const blocks = await saveBlocks(context, folder, filesystem, rehearsal, copy, claim);
      const metadata = { path, bytes: copy.bytes, digest: copy.digest };
      const backups = copied === 'metadata' ? [metadata, ...blocks.backups] : blocks.backups;
      return { folder, rehearsal, record: blocks.record, backups, blocks: blocks.backups };
    } finally {
      await removeCopy(copy);
    }
  } catch (error) {
    await dropBackupFolder(folder);
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    throw new ActionError('no_backup_space', `there is no room for the backups in ${folder}`);
  }
}

async function rehearseAsPlanned(
  context: ActionContext,
  plan: Plan,
  filesystem: ExtFilesystem,
  copy: WorkingCopy,
): Promise<Rehearsal> {
  const rehearsal = await rehearse(context, filesystem, copy, false);
  const findings = repairFindings(filesystem, copy, rehearsal);
  if (findings.join('\n') === plan.findings.join('\n')) return rehearsal;
  throw new ActionError(
    'rehearsal_differs',
    'the repair would not do what the plan shows, although the file system is the same: ' +
      'perhaps the tools have changed since',
  );
}

async function saveBlocks(
  context: ActionContext,
  folder: string,
  { device, superblock }: ExtFilesystem,
  { ranges }: Rehearsal,
  copy: WorkingCopy,
  claim: FileHandle,
): Promise<{ record: RepairRecord; backups: SavedBackup[] }> {
  const before = await SavedBlocks.save(join(folder, backupNames.before), ranges, (offset, bytes) =>
    readDevice(claim, Buffer.alloc(bytes), offset, bytes),
  );
  const digests =
    device.bytes <= WHOLE_DIGEST_MAX_BYTES || copy.kind === 'whole'
      ? await digestDevice(context, claim, device.bytes, ranges)
      : null;
  const record: RepairRecord = {
    version: 1,
    job: context.spec.job,
    device: device.path,
    bytes: device.bytes,
    filesystem: superblock.type,
    uuid: superblock.uuid,
    mountedAt: superblock.mountedAt,
    hasMetadata: copy.kind === 'metadata',
    wholeDigest: digests?.whole ?? null,
    outsideDigest: digests?.outside ?? null,
  };
  const file = join(folder, backupNames.record);
  return { record, backups: [before, await writeBackup(file, JSON.stringify(record))] };
}
