import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import { inspectDevice } from '../../../target/block-device.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import type { Target } from '../../../target/open-target.ts';
import { normalizeRanges, type ByteRange } from '../../filesystem/byte-ranges.ts';
import { openDevice, readDevice, syncDevice } from '../../filesystem/device-io.ts';
import { writeBackup } from '../../filesystem/durable-write.ts';
import { isMixtureOf, SavedBlocks } from '../../filesystem/saved-blocks.ts';
import { EspCopy } from './esp-copy.ts';
import { unmountEsps, type EspState } from './inspect-esps.ts';

const PIECE_BYTES = 1024 * 1024;
const SECTOR_BYTES = 512;
const recordSchema = z.strictObject({
  version: z.literal(1),
  disk: z.string().nullable(),
  partition: z.int().nullable(),
});
const recordName = (index: number) => `esp-${index}.json`;
const bytesName = (index: number, when: 'before' | 'after') => `esp-${index}.${when}`;
const RECORD = /^esp-(\d{1,3})\.json$/;

type Context = Pick<ActionContext, 'directory' | 'progress' | 'run' | 'signal'>;

/**
 * Makes each EFI partition as it is to become, on a copy, and saves every sector that differs, as it is and as
 * it will be. Nothing is changed. Throws ActionError where the copy is not sound or another file of it changed.
 */
export async function saveEsps(
  context: Context,
  esps: readonly EspState[],
  folder: string,
): Promise<SavedBackup[]> {
  const backups: SavedBackup[] = [];
  for (const [index, state] of esps.entries()) {
    const { volume } = state;
    await EspCopy.with(context, volume, async (copy) => {
      await change(copy, state);
      const device = await inspectDevice(volume.node);
      await using source = await openDevice(device, 'read');
      await using made = await open(copy.image);
      const buffer = Buffer.alloc(PIECE_BYTES);
      const ranges: ByteRange[] = [];
      const other = Buffer.alloc(PIECE_BYTES);
      for (let start = 0; start < device.bytes; start += PIECE_BYTES) {
        const length = Math.min(PIECE_BYTES, device.bytes - start);
        const now = await readDevice(source, buffer, start, length);
        const then = await readDevice(made, other, start, length);
        if (now.equals(then)) continue;
        for (let at = 0; at < length; at += SECTOR_BYTES) {
          const end = at + SECTOR_BYTES;
          if (now.subarray(at, end).equals(then.subarray(at, end))) continue;
          ranges.push([start + at, Math.min(SECTOR_BYTES, length - at)]);
        }
      }
      const joined = normalizeRanges(ranges, SECTOR_BYTES, device.bytes);
      const keep = (when: 'before' | 'after', from: typeof source) =>
        SavedBlocks.save(join(folder, bytesName(index, when)), joined, (at, bytes) =>
          readDevice(from, Buffer.alloc(bytes), at, bytes),
        );
      backups.push(await keep('before', source), await keep('after', made));
    });
    const record = { version: 1, disk: volume.disk, partition: volume.partition };
    // Last: where it is, the others are whole.
    backups.push(await writeBackup(join(folder, recordName(index)), JSON.stringify(record)));
  }
  return backups;
}

async function change(copy: EspCopy, { writes, volume }: EspState): Promise<void> {
  const before = await copy.files();
  const written = new Map(writes.map(({ path, bytes }) => [path.toLowerCase(), bytes]));
  for (const { path, bytes } of writes) await copy.write(path, bytes);
  const after = await copy.files();
  for (const path of new Set([...before.paths, ...after.paths])) {
    const wanted = written.get(path);
    const isRight =
      wanted === undefined
        ? after.digest(path) === before.digest(path)
        : (await after.read(path))?.equals(wanted) === true;
    if (isRight) continue;
    throw new ActionError('verify_failed', `${path} on ${volume.name} would not be as planned`);
  }
  const fault = await copy.findFault();
  if (fault !== null) throw new ActionError('verify_failed', `${volume.name}: ${fault}`);
}

/** Writes what was saved as it was, or as it is to become. May be cut off anywhere and begun again. */
export async function writeEsps(
  target: Pick<Target, 'root' | 'layout'>,
  folder: string,
  when: 'before' | 'after',
): Promise<void> {
  await unmountEsps(target);
  const indices = (await readdir(folder)).flatMap((name) => RECORD.exec(name)?.[1] ?? []);
  for (const index of indices.map(Number)) {
    const text = await readFile(join(folder, recordName(index)), 'utf8');
    const { disk, partition } = recordSchema.parse(JSON.parse(text) as unknown);
    const volume = target.layout?.volumes.find(
      (one) => one.disk === disk && one.partition === partition,
    );
    if (volume === undefined) {
      const what = `partition ${partition} of ${disk} is not among the disks of this job`;
      throw new ActionError('changed_since', what);
    }
    await writeSaved(folder, index, volume, when);
  }
}

/** Each sector there is old or new, as a kill leaves it; anything else was written by somebody else. */
async function writeSaved(
  folder: string,
  index: number,
  volume: Volume,
  when: 'before' | 'after',
): Promise<void> {
  await using closing = new AsyncDisposableStack();
  const blocks = async (which: 'before' | 'after') => {
    const saved = await SavedBlocks.open(join(folder, bytesName(index, which)));
    closing.defer(() => saved.close());
    return saved;
  };
  const before = await blocks('before');
  const after = await blocks('after');
  const handle = closing.use(await openDevice(await inspectDevice(volume.node), 'write'));
  if (!(await isMixtureOf(handle, before, after))) {
    const why = `${volume.name} has been written to by somebody else: nothing is put over that`;
    throw new ActionError('changed_since', why);
  }
  const wanted = when === 'before' ? before : after;
  await wanted.restore(handle);
  await syncDevice(handle);
  if (await wanted.isOn(handle)) return;
  throw new ActionError('not_written', `${volume.name} has not what was written to it`);
}
