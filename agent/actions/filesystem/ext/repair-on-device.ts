import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import { normalizeRanges, type ByteRange } from '../byte-ranges.ts';
import { digestDevice } from '../device-digest.ts';
import { openDevice, readDevice, syncDevice } from '../device-io.ts';
import { syncAndDigest, writeBackup } from '../durable-write.ts';
import { presentFor, runE2fsck, type E2fsckRun } from './e2fsck.ts';
import type { ExtFilesystem } from './filesystem-examination.ts';
import { RepairBackups } from './repair-backups.ts';
import { backupNames, type RepairOutcome } from './repair-record.ts';
import type { SavedForRepair } from './save-for-repair.ts';
import { SavedBlocks } from '../saved-blocks.ts';
import { scratchFolder } from '../scratch-space.ts';
import { saveUnforeseen } from './unforeseen-blocks.ts';
import { judge } from './verdict.ts';

/** As ctime(3) writes it: the rehearsal has another present. */
const TIME = /\b[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\b/g;

/**
 * Runs the repair on the device. When the tool does not come to its end, everything it wrote is put back
 * before this throws, so that the device is either repaired or as it was; only on a failing disk nothing
 * more is written.
 */
export async function repairOnDevice(
  context: ActionContext,
  filesystem: ExtFilesystem,
  saved: SavedForRepair,
): Promise<E2fsckRun> {
  const { device, superblock, backup } = filesystem;
  const run = await runE2fsck(context, {
    device: device.path,
    mode: 'repair',
    superblock: backup,
    undoFile: join(saved.folder, backupNames.undoFile),
    now: presentFor(superblock),
    isLogged: true,
    phase: 'repairing',
    stopsOnInputOutputError: true,
  });
  const verdict = judge(run);
  switch (verdict.reason) {
    case null:
    case 'errors_left':
      await recordOutcome(context, device, saved);
      noteDifferences(context, run, saved);
      return run;
    case 'hardware_failing':
      throw new ActionError(
        verdict.reason,
        `${verdict.detail} The repair was stopped and nothing more is written. What it had overwritten is saved in ${saved.folder}; the hardware comes first.`,
      );
    case 'device_in_use':
      throw new ActionError(verdict.reason, verdict.detail);
    default: {
      context.note(`${verdict.detail} What it has overwritten is put back now.`);
      await putBack(context, device, saved);
      const reason = verdict.reason === 'no_space' ? 'no_backup_space' : verdict.reason;
      throw new ActionError(reason, `${verdict.detail} The device is as it was before.`);
    }
  }
}

/** Keeps what the repair left, so that an undo can tell whether somebody has changed it since. */
async function recordOutcome(
  context: ActionContext,
  device: BlockDevice,
  { folder, rehearsal, record }: SavedForRepair,
): Promise<void> {
  const path = (name: string) => join(folder, name);
  const undoFile = path(backupNames.undoFile);
  if (await stat(undoFile).catch(() => null)) await syncAndDigest(undoFile);
  const before = path(backupNames.unforeseenBefore);
  const unforeseen = await saveUnforeseen(before, undoFile, rehearsal.ranges, device.bytes);
  const handle = await openDevice(device, 'write');
  try {
    await syncDevice(handle);
    const source = (offset: number, bytes: number) =>
      readDevice(handle, Buffer.alloc(bytes), offset, bytes);
    await SavedBlocks.save(path(backupNames.after), rehearsal.ranges, source);
    const outcome: RepairOutcome = {
      version: 1,
      hasUnforeseen: unforeseen !== null,
      outsideDigest: record.outsideDigest,
    };
    if (unforeseen !== null) {
      const ranges = await rangesIn(before);
      await SavedBlocks.save(path(backupNames.unforeseenAfter), ranges, source);
      const all = normalizeRanges([...rehearsal.ranges, ...ranges], 1, device.bytes);
      if (record.outsideDigest !== null) {
        const digests = await digestDevice(context, handle, device.bytes, all);
        outcome.outsideDigest = digests.outside;
      }
    }
    await writeBackup(path(backupNames.outcome), JSON.stringify(outcome));
  } finally {
    await handle.close();
  }
}

function noteDifferences(context: ActionContext, run: E2fsckRun, saved: SavedForRepair): void {
  const words = ({ transcript }: E2fsckRun) =>
    transcript.problems.map(({ text }) => text.replace(TIME, 'TIME')).join('\n');
  const isSame = words(run) === words(saved.rehearsal.repair);
  context.note(
    isSame
      ? 'The repair did what the rehearsal had shown.'
      : 'The repair did not do exactly what the rehearsal had shown; the log has what it did.',
  );
}

async function putBack(
  context: ActionContext,
  device: BlockDevice,
  { folder, record }: SavedForRepair,
): Promise<void> {
  const backups = await RepairBackups.open(folder, await scratchFolder(context), record, null);
  try {
    await backups.restore(context, device);
  } finally {
    await backups.close();
  }
}

async function rangesIn(path: string): Promise<readonly ByteRange[]> {
  const blocks = await SavedBlocks.open(path);
  await blocks.close();
  return blocks.ranges;
}
