import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { digest } from '../../../proto/documents/fields.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { contentDigest } from '../files/file-state.ts';
import { readDevice, syncDevice, writeDevice } from '../filesystem/device-io.ts';
import { syncAndDigest, writeBackup } from '../filesystem/durable-write.ts';
import { biosBootPartition, HEAD_BYTES } from './boot-sectors.ts';
import type { BootState } from './inspect-boot.ts';

const RECORD = 'boot.json';
/** What is saved and put back as a whole: everything a repair writes lies in it. */
const FOLDER = '/boot';
const ARCHIVE = 'boot.tar';
/** What the repair left, for an undo to tell whether somebody changed it since. */
const AFTER = 'boot-after.json';
/** An empty folder in /boot while an undo is under way: what lies around it is a mixture then. */
const UNDO_FOLDER = '.intervene-undo';
const TAR_ATTRIBUTES = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls'];
const COPY_WITHIN_MS = 10 * 60_000;

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
  names: z.array(z.strictObject({ name: z.string(), digest })),
});
type BootRecord = z.output<typeof recordSchema>;
const afterSchema = z.strictObject({
  version: z.literal(1),
  digest,
  names: z.array(z.string()),
});
/** Of /boot, but no matter of a repair: other file systems, and what belongs to a file system itself. */
const LEFT_ALONE = new Set(['efi', 'lost+found', UNDO_FOLDER]);

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

/** All names in /boot that are saved and put back, sorted. */
export async function namesInBoot(target: Pick<Target, 'root'>): Promise<string[]> {
  const names = await readdir(await bootPath(target));
  return names.filter((name) => !LEFT_ALONE.has(name)).toSorted();
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
  const names: BootRecord['names'] = [];
  for (const name of await namesInBoot(target)) {
    names.push({ name, digest: await treeDigest(boot, name) });
  }
  const words = ['--create', '--file', join(folder, ARCHIVE), '--directory', boot];
  await tar(context, words, names);
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
 * Puts everything back: what the repair made goes, what it changed goes and comes out of the archive again, so
 * that /boot needs no more room than it took before; then the raw stretches. May be cut off anywhere and begun
 * again; of a job that saved none it does nothing. Throws ActionError `backup_damaged` before anything is changed.
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
  const now = await namesInBoot(target);
  // Of a repair that was cut off nobody noted what it made.
  const made = (await readAfter(folder))?.names ?? now;
  const differing: BootRecord['names'] = [];
  for (const one of record.names) {
    const isSame = now.includes(one.name) && (await treeDigest(boot, one.name)) === one.digest;
    if (!isSame) differing.push(one);
  }
  await mkdir(mark, { recursive: true, mode: 0o700 });
  const before = new Set(record.names.map(({ name }) => name));
  const gone = made.filter((name) => !before.has(name));
  for (const name of [...gone, ...differing.map((one) => one.name)]) {
    await rm(join(boot, name), { recursive: true, force: true });
  }
  if (differing.length > 0) {
    const words = ['--extract', '--file', join(folder, ARCHIVE), '--directory', boot];
    await tar(context, [...words, '--same-owner', '--same-permissions'], differing);
  }
  for (const { content, offset, loop } of regions) {
    const handle = await open(loop, 'r+');
    try {
      await writeDevice(handle, content, offset);
      await syncDevice(handle);
    } finally {
      await handle.close();
    }
  }
  // Last: as long as it is there, an undo is under way.
  await rm(mark, { recursive: true, force: true });
}

/** One that wrote to EFI partitions alone saved nothing of /boot. */
async function hasSavedBoot(folder: string): Promise<boolean> {
  return (await readdir(folder)).includes(RECORD);
}

/** Over all that is saved, as it is now. */
export function savedDigest(target: Target, state: BootState): Promise<string> {
  return bootDigest(target, regionsOf(state));
}

/** Notes boot sectors and /boot as the repair has left them. */
export async function noteBootAfter(target: Target, folder: string): Promise<void> {
  if (!(await hasSavedBoot(folder))) return;
  const digest = await bootDigest(target, regionsIn(await readRecord(folder)));
  const names = await namesInBoot(target);
  await writeBackup(join(folder, AFTER), JSON.stringify({ version: 1, digest, names }));
}

/**
 * Throws ActionError `changed_since` when boot sectors or /boot are not as the repair left them: a kernel that
 * was installed since would go with the undo. Of a repair or an undo that was cut off nobody can tell.
 */
export async function requireBootUnchanged(target: Target, folder: string): Promise<void> {
  const after = await readAfter(folder);
  if (after === null) return;
  const isBegun = await lstat(join(await bootPath(target), UNDO_FOLDER)).catch(ignoreMissing);
  if (isBegun !== undefined) return;
  const record = await readRecord(folder);
  if ((await bootDigest(target, regionsIn(record))) === after.digest) return;
  throw new ActionError(
    'changed_since',
    'boot sectors or /boot were changed after the repair: putting the old state back would destroy that',
  );
}

/** Over the raw stretches and every name, mode, owner and content in /boot but the EFI partition. */
async function bootDigest(target: Target, regions: readonly Region[]): Promise<string> {
  const hash = createHash('sha256');
  for (const region of regions) hash.update(await readRegion(target, region));
  const boot = await bootPath(target);
  for (const name of await namesInBoot(target)) hash.update(await treeDigest(boot, name));
  return `sha256:${hash.digest('hex')}`;
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

/** Over every name, mode, owner and content of what a name in a folder is. */
async function treeDigest(folder: string, named: string): Promise<string> {
  const hash = createHash('sha256');
  const add = async (name: string): Promise<void> => {
    const path = join(folder, name);
    const { mode, uid, gid } = await lstat(path);
    hash.update(`\0${name}\0${mode}\0${uid}\0${gid}\0`);
    const kind = mode & constants.S_IFMT;
    if (kind === constants.S_IFLNK) hash.update(await readlink(path));
    if (kind === constants.S_IFREG) {
      for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    }
    if (kind !== constants.S_IFDIR) return;
    for (const below of (await readdir(path)).toSorted()) await add(`${name}/${below}`);
  };
  await add(named);
  return `sha256:${hash.digest('hex')}`;
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

/** Where /boot of the target really lies; it never leads out of it. */
async function bootPath({ root }: Pick<Target, 'root'>): Promise<string> {
  const folder = await root.openFolder(FOLDER);
  await folder.close();
  return join(root.path, folder.path);
}

/** `names` are told on standard input: there may be more of them than fit into an argv. */
async function tar(
  context: ActionContext,
  words: readonly string[],
  names: BootRecord['names'],
): Promise<void> {
  const list = ['--null', '--verbatim-files-from', '--files-from=-'];
  const done = await context.run(['tar', ...words, ...TAR_ATTRIBUTES, ...list], {
    output: 'capture',
    input: names.map(({ name }) => `${name}\0`).join(''),
    timeoutMs: COPY_WITHIN_MS,
  });
  if (done.exitStatus === 0) return;
  throw new ActionError('not_saved', `tar: ${done.err.trim().slice(0, 500)}`);
}
