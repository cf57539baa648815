import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import { inspectDevice } from '../../../target/block-device.ts';
import type { Target } from '../../../target/open-target.ts';
import { openDevice, readDevice } from '../../filesystem/device-io.ts';
import { writeBackup } from '../../filesystem/durable-write.ts';
import { patchFromCopy } from '../../filesystem/patch/patch.ts';
import { SavedBlocks } from '../../filesystem/saved-blocks.ts';
import { writeSaved, type SavedPaths } from '../../filesystem/write-saved.ts';
import { EspCopy } from './esp-copy.ts';
import { unmountEsps, type EspState } from './inspect-esps.ts';

const SECTOR_BYTES = 512;
const recordSchema = z.strictObject({
  version: z.literal(1),
  disk: z.string().nullable(),
  partition: z.int().nullable(),
});
const recordName = (index: number) => `esp-${index}.json`;
const pathsOf = (folder: string, index: number): SavedPaths => ({
  before: join(folder, `esp-${index}.before`),
  after: join(folder, `esp-${index}.after`),
});
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
      const all = [[0, device.bytes]] as const;
      const patch = await patchFromCopy(context, source, made, all, SECTOR_BYTES);
      const paths = pathsOf(folder, index);
      const now = (at: number, bytes: number) => readDevice(source, Buffer.alloc(bytes), at, bytes);
      backups.push(await SavedBlocks.save(paths.before, patch.ranges, now));
      const then = (at: number, bytes: number) => patch.contentAt(at, bytes);
      backups.push(await SavedBlocks.save(paths.after, patch.ranges, then));
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
    const device = await inspectDevice(volume.node);
    await writeSaved(device, pathsOf(folder, index), when, volume.name);
  }
}
