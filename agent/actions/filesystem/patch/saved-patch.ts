import { readFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digest } from '../../../../proto/documents/fields.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import { subtractRanges, totalBytes, type ByteRange } from '../byte-ranges.ts';
import { digestDevice, digestRanges, WHOLE_DIGEST_MAX_BYTES } from '../device-digest.ts';
import { readDevice, syncDevice, writeDevice } from '../device-io.ts';
import { writeBackup } from '../durable-write.ts';
import { isMixtureOf, SavedBlocks } from '../saved-blocks.ts';
import type { Patch } from './patch.ts';

type Context = Pick<ActionContext, 'signal' | 'progress'>;

const BEFORE = 'blocks-before';
const AFTER = 'blocks-after';
const RECORD = 'patch.json';

/** What is known before the first write. */
const recordSchema = z.strictObject({
  version: z.literal(1),
  device: z.string(),
  bytes: z.int(),
  filesystem: z.string(),
  uuid: z.string().nullable(),
  /** What shows that somebody else used the device; null for all of it. */
  watched: z.array(z.tuple([z.int(), z.int()])).nullable(),
  /** Of what is watched and not overwritten. */
  outsideDigest: digest,
  /** Of all bytes; null for a device too large to read it whole. */
  wholeDigest: digest.nullable(),
});
export type PatchRecord = z.output<typeof recordSchema>;

/** Whether a job saved a patch; repairs by e2fsck have backups of another kind. */
export function hasSavedPatch(undone: ActionContext['undone']): boolean {
  return (undone?.records ?? []).some(
    (record) =>
      record.type === 'step_saved' &&
      record.backups.some(({ path }) => path.endsWith(`/${RECORD}`)),
  );
}

/** A patch on disk: what its stretches hold before it, and after. */
export class SavedPatch {
  readonly record: PatchRecord;
  private readonly before: SavedBlocks;
  private readonly after: SavedBlocks;

  private constructor(record: PatchRecord, before: SavedBlocks, after: SavedBlocks) {
    this.record = record;
    this.before = before;
    this.after = after;
  }

  /**
   * Saves in a new folder all that writing a patch, finishing it and taking it back needs; it is on disk when
   * this returns. `watched` matters for devices too large to be digested whole.
   */
  static async save(
    context: Context,
    folder: string,
    of: Pick<PatchRecord, 'filesystem' | 'uuid'> & { device: BlockDevice },
    handle: FileHandle,
    patch: Patch,
    watched: readonly ByteRange[],
  ): Promise<SavedBackup[]> {
    const { device, filesystem, uuid } = of;
    const source = (offset: number, bytes: number) =>
      readDevice(handle, Buffer.alloc(bytes), offset, bytes);
    const before = await SavedBlocks.save(join(folder, BEFORE), patch.ranges, source);
    const after = await SavedBlocks.save(join(folder, AFTER), patch.ranges, (offset, bytes) =>
      patch.contentAt(offset, bytes),
    );
    const isWhole = device.bytes <= WHOLE_DIGEST_MAX_BYTES;
    const digests = isWhole
      ? await digestDevice(context, handle, device.bytes, patch.ranges)
      : {
          outside: await digestRanges(context, handle, subtractRanges(watched, patch.ranges)),
          whole: null,
        };
    const record: PatchRecord = {
      version: 1,
      device: device.path,
      bytes: device.bytes,
      filesystem,
      uuid,
      watched: isWhole ? null : watched.map(([start, bytes]) => [start, bytes]),
      outsideDigest: digests.outside,
      wholeDigest: digests.whole,
    };
    return [before, after, await writeBackup(join(folder, RECORD), JSON.stringify(record))];
  }

  /** @param folder that of `save`, its files compared with their digests */
  static async open(folder: string): Promise<SavedPatch> {
    const text = await readFile(join(folder, RECORD), 'utf8');
    const record = recordSchema.parse(JSON.parse(text));
    const before = await SavedBlocks.open(join(folder, BEFORE));
    try {
      return new SavedPatch(record, before, await SavedBlocks.open(join(folder, AFTER)));
    } catch (error) {
      await before.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.before.close();
    await this.after.close();
  }

  /** `patched` also when the writing, or an undo of it, was cut off; `changed` by somebody else. */
  async stateOf(context: Context, handle: FileHandle): Promise<'before' | 'patched' | 'changed'> {
    if ((await this.outsideDigest(context, handle)) !== this.record.outsideDigest) return 'changed';
    if (await this.before.isOn(handle)) return 'before';
    return (await isMixtureOf(handle, this.before, this.after)) ? 'patched' : 'changed';
  }

  /** Returns how many bytes were written. Throws ActionError `hardware_failing`. */
  async write(context: Context, handle: FileHandle): Promise<number> {
    const total = totalBytes(this.after.ranges);
    let written = 0;
    for await (const { offset, bytes } of this.after.pieces()) {
      await writeDevice(handle, bytes, offset);
      written += bytes.length;
      context.progress('repairing', Math.floor((100 * written) / total), 'writing');
    }
    await syncDevice(handle);
    return written;
  }

  /**
   * Writes the old bytes back where they differ, and reads everything again. Throws ActionError
   * `undo_incomplete`, `hardware_failing`.
   */
  async restore(context: Context, handle: FileHandle): Promise<{ written: number; proof: string }> {
    const written = await this.before.restore(handle);
    await syncDevice(handle);
    const { wholeDigest, bytes, outsideDigest } = this.record;
    if (wholeDigest !== null) {
      const { whole } = await digestDevice(context, handle, bytes, []);
      if (whole !== wholeDigest) {
        throw new ActionError(
          'undo_incomplete',
          `the saved blocks are back, but the device as a whole is not as it was: ${whole}, not ${wholeDigest}`,
        );
      }
      return { written, proof: `all bytes of the device have the digest ${whole} again` };
    }
    const isBack = await this.before.isOn(handle);
    if (isBack && (await this.outsideDigest(context, handle)) === outsideDigest) {
      return { written, proof: 'every block the repair overwrote is as it was' };
    }
    throw new ActionError('undo_incomplete', 'the device is not as it was before the repair');
  }

  private async outsideDigest(context: Context, handle: FileHandle): Promise<string> {
    const { watched, bytes } = this.record;
    if (watched !== null) {
      return digestRanges(context, handle, subtractRanges(watched, this.before.ranges));
    }
    return (await digestDevice(context, handle, bytes, this.before.ranges)).outside;
  }
}
