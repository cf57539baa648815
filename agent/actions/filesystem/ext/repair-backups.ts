import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import type { ByteRange } from '../byte-ranges.ts';
import { normalizeRanges } from '../byte-ranges.ts';
import { digestDevice } from '../device-digest.ts';
import { openDevice, readDevice, syncDevice } from '../device-io.ts';
import { readClusters } from './qcow2-clusters.ts';
import { backupNames, type RepairOutcome, type RepairRecord } from './repair-record.ts';
import { isMixtureOf, SavedBlocks } from '../saved-blocks.ts';
import { readPrimary } from './filesystem-examination.ts';
import { saveUnforeseen } from './unforeseen-blocks.ts';

type Context = Pick<ActionContext, 'signal' | 'progress' | 'note'>;

/** Backups of one repair, opened: what blocks held before, and after where the repair came to its end. */
export class RepairBackups {
  private readonly folder: string;
  private readonly record: RepairRecord;
  private readonly outcome: RepairOutcome | null;
  private readonly before: readonly SavedBlocks[];
  private readonly after: readonly SavedBlocks[];

  private constructor(
    folder: string,
    record: RepairRecord,
    outcome: RepairOutcome | null,
    before: readonly SavedBlocks[],
    after: readonly SavedBlocks[],
  ) {
    this.folder = folder;
    this.record = record;
    this.outcome = outcome;
    this.before = before;
    this.after = after;
  }

  /** `scratch` is for what has to be taken from the undo file of a repair that was cut off. */
  static async open(
    folder: string,
    scratch: string,
    record: RepairRecord,
    outcome: RepairOutcome | null,
  ): Promise<RepairBackups> {
    const file = (name: string) => join(folder, name);
    const before = [await SavedBlocks.open(file(backupNames.before))];
    const after: SavedBlocks[] = [];
    if (outcome !== null) {
      after.push(await SavedBlocks.open(file(backupNames.after)));
      if (outcome.hasUnforeseen) {
        before.push(await SavedBlocks.open(file(backupNames.unforeseenBefore)));
        after.push(await SavedBlocks.open(file(backupNames.unforeseenAfter)));
      }
    } else {
      const path = join(scratch, backupNames.unforeseenBefore);
      const foreseen = before[0]!.ranges;
      const saved = await saveUnforeseen(path, file(backupNames.undoFile), foreseen, record.bytes);
      if (saved !== null) before.push(await SavedBlocks.open(path));
    }
    return new RepairBackups(folder, record, outcome, before, after);
  }

  async close(): Promise<void> {
    for (const blocks of [...this.before, ...this.after]) await blocks.close();
  }

  /**
   * Whether the device is as it was before the repair (`before`), as the repair or a cut off undo left it
   * (`repaired`), or has been changed by somebody else (`changed`).
   */
  async stateOf(context: Context, device: BlockDevice): Promise<'before' | 'repaired' | 'changed'> {
    if (await this.wasMountedSince(device)) return 'changed';
    const handle = await openDevice(device, 'read');
    try {
      if (!(await this.isSameOutside(context, device, handle))) return 'changed';
      const isBefore = await every(this.before, (blocks) => blocks.isOn(handle));
      if (isBefore) return 'before';
      for (const [index, after] of this.after.entries()) {
        if (!(await isMixtureOf(handle, this.before[index]!, after))) return 'changed';
      }
      return 'repaired';
    } finally {
      await handle.close();
    }
  }

  /**
   * Writes the old bytes back where they differ, and reads everything again. Returns how many bytes were
   * written and how it is known that the device is as it was. Throws ActionError `undo_incomplete`.
   */
  async restore(context: Context, device: BlockDevice): Promise<{ bytes: number; proof: string }> {
    const handle = await openDevice(device, 'write');
    try {
      let bytes = 0;
      for (const blocks of this.before) bytes += await blocks.restore(handle);
      await syncDevice(handle);
      return { bytes, proof: await this.prove(context, device, handle) };
    } finally {
      await handle.close();
    }
  }

  private async prove(
    context: Context,
    device: BlockDevice,
    handle: Awaited<ReturnType<typeof openDevice>>,
  ): Promise<string> {
    const { wholeDigest } = this.record;
    if (wholeDigest !== null) {
      const { whole } = await digestDevice(context, handle, device.bytes, []);
      if (whole === wholeDigest) return `all bytes of the device have the digest ${whole} again`;
      throw new ActionError(
        'undo_incomplete',
        `the saved blocks are back, but the device as a whole is not as it was: ${whole}, not ${wholeDigest}`,
      );
    }
    const isBack = await every(this.before, (blocks) => blocks.isOn(handle));
    if (isBack && (await this.isSameOutside(context, device, handle))) {
      return 'every block the repair overwrote is as it was, and so is all other metadata';
    }
    throw new ActionError('undo_incomplete', 'the device is not as it was before the repair');
  }

  /** For a repair that was cut off nobody knows what it left; but mounting leaves its time. */
  private async wasMountedSince(device: BlockDevice): Promise<boolean> {
    if (this.outcome !== null) return false;
    const primary = await readPrimary(device);
    return primary !== null && primary.mountedAt > this.record.mountedAt;
  }

  private async isSameOutside(
    context: Context,
    device: BlockDevice,
    handle: Awaited<ReturnType<typeof openDevice>>,
  ): Promise<boolean> {
    const own = normalizeRanges(
      this.before.flatMap(({ ranges }) => ranges),
      1,
      device.bytes,
    );
    const known = this.outcome === null ? this.record.outsideDigest : this.outcome.outsideDigest;
    if (known !== null && (this.outcome !== null || this.before.length === 1)) {
      return (await digestDevice(context, handle, device.bytes, own)).outside === known;
    }
    if (!this.record.hasMetadata) return true;
    return isMetadataSame(join(this.folder, backupNames.metadata), handle, own, device.bytes);
  }
}

/** Whether saved metadata is still on the device, blocks in `except` apart. */
async function isMetadataSame(
  image: string,
  handle: Awaited<ReturnType<typeof openDevice>>,
  except: readonly ByteRange[],
  deviceBytes: number,
): Promise<boolean> {
  let buffer = Buffer.alloc(0);
  let next = 0;
  for await (const { offset, bytes } of readClusters(image)) {
    while (next < except.length && except[next]![0] + except[next]![1] <= offset) next++;
    if (next < except.length && except[next]![0] < offset + bytes.length) continue;
    if (offset + bytes.length > deviceBytes) return false;
    if (buffer.length < bytes.length) buffer = Buffer.alloc(bytes.length);
    if (!bytes.equals(await readDevice(handle, buffer, offset, bytes.length))) return false;
  }
  return true;
}

async function every<T>(items: readonly T[], test: (item: T) => Promise<boolean>) {
  for (const item of items) if (!(await test(item))) return false;
  return true;
}
