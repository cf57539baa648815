import { dirname, join } from 'node:path';
import { stat } from 'node:fs/promises';
import { deviceOf } from '../named-volume.ts';
import type { JournalRecord } from '../../../jobs/journal-record.ts';
import {
  ActionError,
  type ActionContext,
  type ActionResult,
  type SavedBackup,
} from '../../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../../target/block-device.ts';
import { findUse } from '../../../target/device-use.ts';
import { syncAndDigest } from '../durable-write.ts';
import { filesystemResult } from '../filesystem-result.ts';
import { RepairBackups } from './repair-backups.ts';
import { readOutcome, readRecord, type RepairRecord } from './repair-record.ts';
import { repairStepTexts } from './repair-steps.ts';
import { scratchFolder } from '../scratch-space.ts';

const undoStep = {
  id: 'undo-repair',
  description: 'Put back every block the repair has overwritten',
  interrupt: 'finish',
} as const;

/**
 * Takes a repair back, also one that was cut off, also when an undo was. Refuses with `changed_since` when
 * the file system was used since: what was written then would be lost.
 */
export async function undoRepair(context: ActionContext): Promise<ActionResult> {
  const { undone } = context;
  if (undone === null) throw new ActionError('undo_not_possible', 'no job to undo was named');
  const path = deviceOf(context);
  const blocks = savedBy(undone.records, repairStepTexts.repair.id);
  if (blocks.length === 0) {
    const detail = 'The repair had not begun to write: there is nothing to put back.';
    return success(context, { device: path, filesystem: '', uuid: null }, detail);
  }
  const all = [...savedBy(undone.records, repairStepTexts.save.id), ...blocks];
  const folder = await findBackups(all, undone.directory);
  const record = await readRecord(folder);
  const device = await inspectUnused(path, record);
  const outcome = await readOutcome(folder);
  const backups = await RepairBackups.open(folder, await scratchFolder(context), record, outcome);
  try {
    const state = await backups.stateOf(context, device);
    if (state === 'before') {
      return success(context, record, 'The device is as it was before the repair already.');
    }
    if (state === 'changed') {
      throw new ActionError(
        'changed_since',
        `the file system on ${path} was changed after the repair; putting the old blocks back would destroy it`,
      );
    }
    let detail = '';
    await context.step(undoStep, async (confirm) => {
      await confirm(blocks);
      const { bytes, proof } = await backups.restore(context, device);
      detail = `Put back: ${bytes} bytes written; ${proof}. The problems the repair had corrected are back too.`;
    });
    return success(context, record, detail);
  } finally {
    await backups.close();
  }
}

function savedBy(records: readonly JournalRecord[], step: string): SavedBackup[] {
  return records.flatMap((record) =>
    record.type === 'step_saved' && record.step === step ? record.backups : [],
  );
}

/** The folder of the backups, each of them compared with the digest the journal has. */
async function findBackups(backups: readonly SavedBackup[], directory: string): Promise<string> {
  const named = dirname(backups[0]!.path);
  const isThere = await stat(named).then(
    () => true,
    () => false,
  );
  const folder = isThere ? named : join(directory, 'backups');
  for (const { path, digest } of backups) {
    const own = join(folder, path.slice(named.length + 1));
    const found = await syncAndDigest(own).catch((error: Error) => {
      throw new ActionError('backup_damaged', `a backup cannot be read: ${error.message}`);
    });
    if (found.digest === digest) continue;
    throw new ActionError('backup_damaged', `${own} is not what was saved: ${found.digest}`);
  }
  return folder;
}

async function inspectUnused(path: string, record: RepairRecord): Promise<BlockDevice> {
  const device = await inspectDevice(path);
  const use = await findUse(device);
  if (use !== null) throw new ActionError('device_in_use', `${path} is in use: ${use}`);
  if (device.bytes === record.bytes && path === record.device) return device;
  throw new ActionError('changed_since', `${path} is not the device that was repaired`);
}

function success(
  context: ActionContext,
  of: Pick<RepairRecord, 'device' | 'filesystem'> & { uuid: string | null },
  detail: string,
): ActionResult {
  context.note(detail);
  const { device, filesystem, uuid } = of;
  const result = filesystemResult({
    outcome: 'restored',
    device,
    filesystem,
    uuid,
    run: null,
    exitStatus: null,
    detail,
  });
  return { succeeded: true, reason: null, exitStatus: null, result };
}
