import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { lstat, mkdir, open, readdir, readFile, readlink, rename, rm } from 'node:fs/promises';
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
/** In /boot while an undo is under way: what lies around it is a mixture then. */
const UNDO_FOLDER = '.intervene-undo';
const TAR_ATTRIBUTES = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '--acls'];
const COPY_WITHIN_MS = 10 * 60_000;

const recordSchema = z.strictObject({
  version: z.literal(1),
  disk: z.string(),
  regions: z.array(
    z.strictObject({ file: z.string(), offset: z.int(), bytes: z.int(), before: digest }),
  ),
  /** Names in /boot that a repair may write to. */
  names: z.array(z.string()),
});
type BootRecord = z.output<typeof recordSchema>;
const afterSchema = z.strictObject({ version: z.literal(1), digest });

/** The stretches of the disk that the installation of GRUB may write. */
export function regionsOf({ layout, disk }: BootState): { offset: number; bytes: number }[] {
  const core = biosBootPartition(layout.volumes, disk.given);
  const first = Math.min(
    ...layout.volumes
      .filter((volume) => volume.disk === disk.given && volume.startBytes > 0)
      .map(({ startBytes }) => startBytes),
    HEAD_BYTES,
  );
  return [
    { offset: 0, bytes: Math.min(first, disk.device.bytes) },
    ...(core === undefined ? [] : [{ offset: core.startBytes, bytes: core.bytes }]),
  ];
}

/** Names in /boot, sorted, without what is another file system: an EFI partition is not touched. */
export async function namesInBoot({ files }: Pick<Target, 'files'>): Promise<string[]> {
  const names = await files.list(FOLDER);
  return names.filter((name) => name !== 'efi' && !name.startsWith('lost+found'));
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
  const handle = await open(state.disk.loop, 'r');
  try {
    for (const [at, { offset, bytes }] of regionsOf(state).entries()) {
      const file = `region-${at}.bin`;
      const content = await readDevice(handle, Buffer.alloc(bytes), offset, bytes);
      const copy = await open(join(folder, file), 'wx', 0o600);
      await copy.writeFile(content);
      await copy.close();
      const saved = await syncAndDigest(join(folder, file));
      backups.push(saved);
      regions.push({ file, offset, bytes, before: saved.digest });
    }
  } finally {
    await handle.close();
  }
  const names = await namesInBoot(target);
  const boot = await bootPath(target);
  await tar(context, [
    '--create',
    '--file',
    join(folder, ARCHIVE),
    '--directory',
    boot,
    ...TAR_ATTRIBUTES,
    '--',
    ...names,
  ]);
  backups.push(await syncAndDigest(join(folder, ARCHIVE)));
  const record: BootRecord = { version: 1, disk: state.disk.given, regions, names };
  backups.push(await writeBackup(join(folder, RECORD), JSON.stringify(record)));
  return backups;
}

/**
 * Puts everything back: the old /boot is made beside the new one and takes its place name by name, then the
 * raw stretches. May be cut off anywhere and begun again; of a job that saved none it does nothing.
 */
export async function restoreBoot(
  context: ActionContext,
  target: Target,
  folder: string,
): Promise<void> {
  if (!(await hasSavedBoot(folder))) return;
  const record = await readRecord(folder);
  const disk = target.layout?.disks.find(({ given }) => given === record.disk);
  if (disk === undefined) {
    throw new ActionError('changed_since', `${record.disk} is not among the disks of this job`);
  }
  const boot = await bootPath(target);
  const draft = join(boot, UNDO_FOLDER);
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { mode: 0o700 });
  await tar(context, [
    '--extract',
    '--file',
    join(folder, ARCHIVE),
    '--directory',
    draft,
    '--same-owner',
    '--same-permissions',
    ...TAR_ATTRIBUTES,
  ]);
  const now = await readdir(boot);
  const kept = new Set([UNDO_FOLDER, 'efi', 'lost+found']);
  for (const name of now.filter((one) => !kept.has(one) && !record.names.includes(one))) {
    await rm(join(boot, name), { recursive: true, force: true });
  }
  for (const name of record.names) {
    // Out of the way by its name, so that the old one follows at once.
    await rename(join(boot, name), join(draft, `.now-${name}`)).catch(ignoreMissing);
    await rename(join(draft, name), join(boot, name));
  }
  const handle = await open(disk.loop, 'r+');
  try {
    for (const { file, offset, before } of record.regions) {
      const content = await readFile(join(folder, file));
      if (contentDigest(content) !== before) {
        throw new ActionError('backup_damaged', `${file} is not what was saved`);
      }
      await writeDevice(handle, content, offset);
    }
    await syncDevice(handle);
  } finally {
    await handle.close();
  }
  // Last: as long as it is there, an undo is under way.
  await rm(draft, { recursive: true, force: true });
}

/** One that wrote to EFI partitions alone saved nothing of /boot. */
async function hasSavedBoot(folder: string): Promise<boolean> {
  return (await readdir(folder)).includes(RECORD);
}

/** Notes boot sectors and /boot as the repair has left them. */
export async function noteBootAfter(target: Target, folder: string): Promise<void> {
  if (!(await hasSavedBoot(folder))) return;
  const digest = await bootDigest(target, await readRecord(folder));
  await writeBackup(join(folder, AFTER), JSON.stringify({ version: 1, digest }));
}

/**
 * Throws ActionError `changed_since` when boot sectors or /boot are not as the repair left them: a kernel that
 * was installed since would go with the undo. Of a repair or an undo that was cut off nobody can tell.
 */
export async function requireBootUnchanged(target: Target, folder: string): Promise<void> {
  const text = await readFile(join(folder, AFTER), 'utf8').catch(ignoreMissing);
  if (text === undefined) return;
  const isBegun = await lstat(join(await bootPath(target), UNDO_FOLDER)).catch(ignoreMissing);
  if (isBegun !== undefined) return;
  const { digest: after } = afterSchema.parse(JSON.parse(text));
  const record = await readRecord(folder);
  if ((await bootDigest(target, record)) === after) return;
  throw new ActionError(
    'changed_since',
    'boot sectors or /boot were changed after the repair: putting the old state back would destroy that',
  );
}

/** Over the raw stretches and every name, mode, owner and content in /boot but the EFI partition. */
async function bootDigest(target: Target, record: BootRecord): Promise<string> {
  const hash = createHash('sha256');
  const disk = target.layout?.disks.find(({ given }) => given === record.disk);
  const handle = disk === undefined ? undefined : await open(disk.loop, 'r');
  try {
    for (const { offset, bytes } of handle === undefined ? [] : record.regions) {
      hash.update(await readDevice(handle!, Buffer.alloc(bytes), offset, bytes));
    }
  } finally {
    await handle?.close();
  }
  const add = async (path: string, named: string): Promise<void> => {
    const { mode, uid, gid } = await lstat(path);
    hash.update(`\0${named}\0${mode}\0${uid}\0${gid}\0`);
    const kind = mode & constants.S_IFMT;
    if (kind === constants.S_IFLNK) hash.update(await readlink(path));
    if (kind === constants.S_IFREG) {
      for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    }
    if (kind !== constants.S_IFDIR) return;
    for (const name of (await readdir(path)).toSorted())
      await add(join(path, name), `${named}/${name}`);
  };
  const boot = await bootPath(target);
  for (const name of await namesInBoot(target)) await add(join(boot, name), name);
  return `sha256:${hash.digest('hex')}`;
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

async function tar(context: ActionContext, words: readonly string[]): Promise<void> {
  const done = await context.run(['tar', ...words], {
    output: 'capture',
    timeoutMs: COPY_WITHIN_MS,
  });
  if (done.exitStatus === 0) return;
  throw new ActionError('not_saved', `tar: ${done.err.trim().slice(0, 500)}`);
}
