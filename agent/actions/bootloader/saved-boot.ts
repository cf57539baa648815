import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digest } from '../../../proto/documents/fields.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { contentDigest } from '../files/file-state.ts';
import { readDevice, syncDevice, writeDevice } from '../filesystem/device-io.ts';
import { syncAndDigest, writeBackup } from '../filesystem/durable-write.ts';
import { bootPath, namesInBoot, UNDO_FOLDER } from './boot-attributes.ts';
import { isAsSaved, isSameTree, treesInBoot } from './boot-trees.ts';
import { biosBootPartition, HEAD_BYTES } from './boot-sectors.ts';
import type { BootState } from './inspect-boot.ts';

const RECORD = 'boot.json';
const ARCHIVE = 'boot.tar';
/** What the repair left, for an undo to tell whether somebody changed it since. */
const AFTER = 'boot-after.json';
const TAR_ATTRIBUTES = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls'];
const COPY_WITHIN_MS = 10 * 60_000;

/** Of files. `attributes`: missing where nobody could read them. */
const stateFields = { digest, attributes: digest.optional() };
const recordSchema = z.strictObject({
  version: z.literal(1),
  disk: z.string(),
  regions: z.array(
    z.strictObject({
      file: z.string(),
      /** Missing: that of the record. */
      disk: z.string().optional(),
      ...{ offset: z.int(), bytes: z.int(), before: digest },
    }),
  ),
  archive: digest,
  /** Everything in /boot that a repair may write to. */
  names: z.array(z.strictObject({ name: z.string(), ...stateFields })),
});
type BootRecord = z.output<typeof recordSchema>;
const afterSchema = z.strictObject({
  version: z.literal(1),
  ...stateFields,
  names: z.array(z.string()),
});

type Running = Pick<ActionContext, 'run'>;

interface Region {
  disk: string;
  offset: number;
  bytes: number;
}

/** The stretches of disks that the installation of GRUB may write; none of them is part of a file system. */
export function regionsOf({ layout, disks }: BootState): Region[] {
  return disks.flatMap((disk) => regionsOn(layout, disk));
}

function regionsOn(layout: BootState['layout'], disk: BootState['disks'][number]): Region[] {
  const core = biosBootPartition(layout.volumes, disk.given);
  const first = Math.min(
    ...layout.volumes
      .filter((volume) => volume.disk === disk.given && volume.layers.length === 0)
      .map(({ startBytes }) => startBytes),
    HEAD_BYTES,
  );
  const on = { disk: disk.given };
  return [
    { ...on, offset: 0, bytes: Math.min(first, disk.device.bytes) },
    ...(core === undefined ? [] : [{ ...on, offset: core.startBytes, bytes: core.bytes }]),
  ];
}

/** Saves raw stretches and everything in /boot, durably; nothing is changed. */
export async function saveBoot(
  context: ActionContext,
  target: Target,
  state: BootState,
  folder: string,
): Promise<SavedBackup[]> {
  const backups: SavedBackup[] = [];
  const regions: BootRecord['regions'] = [];
  for (const [at, region] of regionsOf(state).entries()) {
    const file = `region-${at}.bin`;
    const copy = await open(join(folder, file), 'wx', 0o600);
    await copy.writeFile(await readRegion(target, region));
    await copy.close();
    const saved = await syncAndDigest(join(folder, file));
    backups.push(saved);
    regions.push({ file, ...region, before: saved.digest });
  }
  const boot = await bootPath(target);
  const names = await treesInBoot(context, target);
  const words = ['--create', '--file', join(folder, ARCHIVE), '--directory', boot];
  await tar(context, words, names, 'not_saved');
  const archive = await syncAndDigest(join(folder, ARCHIVE));
  backups.push(archive);
  const record: BootRecord = {
    version: 1,
    disk: state.disks[0]!.given,
    regions,
    archive: archive.digest,
    names,
  };
  backups.push(await writeBackup(join(folder, RECORD), JSON.stringify(record)));
  return backups;
}

/**
 * Puts everything back: the raw stretches; then what the repair made goes, what it changed goes and comes out of
 * the archive again, so that /boot needs no more room than it took before. May be cut off anywhere and begun
 * again; of a job that saved none it does nothing. Throws ActionError `backup_damaged` before anything is changed,
 * and `not_written` where something is not as it was.
 */
export async function restoreBoot(
  context: ActionContext,
  target: Target,
  folder: string,
): Promise<void> {
  if (!(await hasSavedBoot(folder))) return;
  const record = await readRecord(folder);
  const archive = await syncAndDigest(join(folder, ARCHIVE));
  if (archive.digest !== record.archive) {
    throw new ActionError('backup_damaged', `${ARCHIVE} is not what was saved`);
  }
  const regions: { content: Buffer; offset: number; loop: string }[] = [];
  for (const { file, offset, before, disk = record.disk } of record.regions) {
    const loop = loopOf(target, disk);
    const content = await readFile(join(folder, file));
    if (contentDigest(content) !== before) {
      throw new ActionError('backup_damaged', `${file} is not what was saved`);
    }
    regions.push({ content, offset, loop });
  }
  const boot = await bootPath(target);
  const mark = join(boot, UNDO_FOLDER);
  const now = await treesInBoot(context, target);
  // Of a repair that was cut off nobody noted what it made.
  const made = (await readAfter(folder))?.names ?? now.map(({ name }) => name);
  const byName = new Map(now.map((one) => [one.name, one]));
  const differing = record.names.filter((one) => !isSameTree(byName.get(one.name), one));
  await mkdir(mark, { recursive: true, mode: 0o700 });
  for (const { content, offset, loop } of regions) {
    const handle = await open(loop, 'r+');
    try {
      await writeDevice(handle, content, offset);
      await syncDevice(handle);
    } finally {
      await handle.close();
    }
  }
  const before = new Set(record.names.map(({ name }) => name));
  const gone = made.filter((name) => !before.has(name));
  for (const name of [...gone, ...differing.map((one) => one.name)]) {
    await rm(join(boot, name), { recursive: true, force: true });
  }
  if (differing.length > 0) {
    const words = ['--extract', '--file', join(folder, ARCHIVE), '--directory', boot];
    await tar(context, [...words, '--same-owner', '--same-permissions'], differing, 'not_written');
    await requirePutBack(context, target, differing);
  }
  // Last: as long as it is there, an undo is under way.
  await rm(mark, { recursive: true, force: true });
}

async function requirePutBack(
  context: Running,
  target: Target,
  wanted: BootRecord['names'],
): Promise<void> {
  const byName = new Map((await treesInBoot(context, target)).map((one) => [one.name, one]));
  const wrong = wanted.find((one) => !isAsSaved(byName.get(one.name), one));
  if (wrong === undefined) return;
  throw new ActionError('not_written', `/boot/${wrong.name} is not what was saved of it`);
}

/** One that wrote to EFI partitions alone saved nothing of /boot. */
async function hasSavedBoot(folder: string): Promise<boolean> {
  return (await readdir(folder)).includes(RECORD);
}

/** Over all that is saved, as it is now. */
export async function savedDigest(
  context: Running,
  target: Target,
  state: BootState,
): Promise<string> {
  const { digest, attributes } = await bootDigests(context, target, regionsOf(state));
  return contentDigest(Buffer.from(`${digest} ${attributes}`));
}

/** Notes boot sectors and /boot as the repair has left them. */
export async function noteBootAfter(
  context: Running,
  target: Target,
  folder: string,
): Promise<void> {
  if (!(await hasSavedBoot(folder))) return;
  const digests = await bootDigests(context, target, regionsIn(await readRecord(folder)));
  const names = await namesInBoot(target);
  await writeBackup(join(folder, AFTER), JSON.stringify({ version: 1, ...digests, names }));
}

/**
 * Throws ActionError `changed_since` when boot sectors or /boot are not as the repair left them: a kernel that
 * was installed since would go with the undo. Of a repair or an undo that was cut off nobody can tell.
 */
export async function requireBootUnchanged(
  context: Running,
  target: Target,
  folder: string,
): Promise<void> {
  const after = await readAfter(folder);
  if (after === null) return;
  const isBegun = await lstat(join(await bootPath(target), UNDO_FOLDER)).catch(ignoreMissing);
  if (isBegun !== undefined) return;
  const now = await bootDigests(context, target, regionsIn(await readRecord(folder)));
  if (after.attributes !== undefined && now.attributes === undefined) {
    const why = 'getfattr (package attr) is not there, which the repair was made with: install it';
    throw new ActionError('tool_missing', why);
  }
  const isSame = after.attributes === undefined || now.attributes === after.attributes;
  if (isSame && now.digest === after.digest) return;
  throw new ActionError(
    'changed_since',
    'boot sectors or /boot were changed after the repair: putting the old state back would destroy that',
  );
}

/** Over the raw stretches and everything in /boot that is saved. */
async function bootDigests(
  context: Running,
  target: Target,
  regions: readonly Region[],
): Promise<{ digest: string; attributes?: string }> {
  const hash = createHash('sha256');
  for (const region of regions) hash.update(await readRegion(target, region));
  const trees = await treesInBoot(context, target);
  for (const tree of trees) hash.update(tree.digest);
  const all = `sha256:${hash.digest('hex')}`;
  if (trees.some((tree) => tree.attributes === undefined)) return { digest: all };
  const attributes = trees.map((tree) => tree.attributes).join(' ');
  return { digest: all, attributes: contentDigest(Buffer.from(attributes)) };
}

async function readRegion(target: Target, { disk, offset, bytes }: Region): Promise<Buffer> {
  const handle = await open(loopOf(target, disk), 'r');
  try {
    return await readDevice(handle, Buffer.alloc(bytes), offset, bytes);
  } finally {
    await handle.close();
  }
}

/** Throws ActionError `changed_since`. */
function loopOf({ layout }: Target, given: string): string {
  const disk = layout?.disks.find((one) => one.given === given);
  if (disk !== undefined) return disk.loop;
  throw new ActionError('changed_since', `${given} is not among the disks of this job`);
}

function regionsIn({ disk, regions }: BootRecord): Region[] {
  return regions.map((region) => ({ ...region, disk: region.disk ?? disk }));
}

async function readAfter(folder: string): Promise<z.output<typeof afterSchema> | null> {
  const text = await readFile(join(folder, AFTER), 'utf8').catch(ignoreMissing);
  return text === undefined ? null : afterSchema.parse(JSON.parse(text));
}

async function readRecord(folder: string): Promise<BootRecord> {
  return recordSchema.parse(JSON.parse(await readFile(join(folder, RECORD), 'utf8')));
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** `names` are told on standard input: there may be more of them than fit into an argv. */
async function tar(
  context: ActionContext,
  words: readonly string[],
  names: BootRecord['names'],
  reason: 'not_saved' | 'not_written',
): Promise<void> {
  const list = ['--null', '--verbatim-files-from', '--files-from=-'];
  const done = await context.run(['tar', ...words, ...TAR_ATTRIBUTES, ...list], {
    output: 'capture',
    input: names.map(({ name }) => `${name}\0`).join(''),
    timeoutMs: COPY_WITHIN_MS,
  });
  // What it cannot do with attributes it says, and ends with 0.
  if (done.exitStatus === 0 && !/\bCannot\b/.test(done.err)) return;
  throw new ActionError(reason, `tar: ${done.err.trim().slice(0, 500)}`);
}
