import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import type { AttachedDisk } from './attached-disk.ts';

/** A piece of a disk that can hold a file system: a partition, or a whole disk without a table. */
export interface Volume {
  /** As people and plans name it: `partition 2 of /dev/sdb`. */
  name: string;
  /** Where it is reached in this job, the same in every job: `…/disks/1p2`, a symlink to its device. */
  node: string;
  /** `/dev/loop12p2`: another number in every job. */
  device: string;
  /** The disks that it lies on, as the order names them. */
  disks: readonly string[];
  /** The only one of them; null when there are several. */
  disk: string | null;
  /** What was opened to get at it, the lowest first: `RAID1 shop:0`, `LUKS`, `LVM`; empty on a bare disk. */
  layers: readonly string[];
  /** What systems call it beside what is written on it: `/dev/vg0/root`, the usual name first. */
  paths: readonly string[];
  /** Number in the partition table of its disk. */
  partition: number | null;
  startBytes: number;
  bytes: number;
  /** As blkid(8) names it: `ext4`, `vfat`, `crypto_LUKS`, `LVM2_member`, `linux_raid_member`, …. */
  type: string | null;
  uuid: string | null;
  label: string | null;
  /** GUID of the partition's type, or the hexadecimal number of an MBR's. */
  partitionType: string | null;
  partitionUuid: string | null;
  partitionLabel: string | null;
  /** Why its content cannot be told, in words. */
  problem: string | null;
}

type Context = Pick<ActionContext, 'run' | 'signal'>;

/** Everything on the disks that may hold a file system, in the order of the disks and partitions. */
export async function listVolumes(
  context: Context,
  disks: readonly AttachedDisk[],
  place: string,
): Promise<Volume[]> {
  const volumes: Volume[] = [];
  for (const [at, disk] of disks.entries()) {
    const { given, loop, device } = disk;
    const whole = { name: given, device: loop, bytes: device.bytes, disk: given, disks: [given] };
    volumes.push(...(await volumesOn(context, { ...whole, layers: [], paths: [] }, place, at + 1)));
  }
  return volumes;
}

/** A device as a whole, of which partitions may be shown. */
export type WholeDevice = Pick<
  Volume,
  'name' | 'device' | 'bytes' | 'disk' | 'disks' | 'layers' | 'paths'
>;

/**
 * The partitions of a device; the device itself where it has none.
 *
 * @param id what its symlinks are called, the same in every job
 */
export async function volumesOn(
  context: Context,
  whole: WholeDevice,
  place: string,
  id: string | number,
): Promise<Volume[]> {
  const folder = join(place, 'disks');
  await mkdir(folder, { recursive: true });
  const node = join(folder, String(id));
  await symlink(whole.device, node);
  const isDisk = whole.layers.length === 0;
  const volumes: Volume[] = [];
  for (const { name, number, startBytes, bytes } of await partitionsOf(whole.device)) {
    const its = `${node}p${number}`;
    await symlink(`/dev/${name}`, its);
    volumes.push({
      ...whole,
      name: `partition ${number} of ${whole.name}`,
      paths: whole.paths.map((path) => partitionPath(path, number)),
      node: its,
      device: `/dev/${name}`,
      partition: isDisk ? number : null,
      startBytes,
      bytes,
      ...(await signatureOf(context, its)),
    });
  }
  if (volumes.length > 0) return volumes;
  return [
    { ...whole, node, partition: null, startBytes: 0, ...(await signatureOf(context, node)) },
  ];
}

/** As udev(7) and the kernel name the partitions of a device. */
function partitionPath(path: string, number: number): string {
  if (path.startsWith('/dev/disk/by-id/')) return `${path}-part${number}`;
  return /\d$/.test(path) ? `${path}p${number}` : `${path}${number}`;
}

/**
 * All that a volume is named by beside what is written on it: of a bare disk what this machine calls it, which
 * says nothing of what its system calls it.
 */
export function pathsOf({
  paths,
  layers,
  disk,
  partition,
}: Pick<Volume, 'paths' | 'layers' | 'disk' | 'partition'>): readonly string[] {
  if (layers.length > 0 || disk?.startsWith('/dev/') !== true) return paths;
  return [partition === null ? disk : partitionPath(disk, partition)];
}

/** A volume and what it lies on, for people: `logical volume vg0/root (LVM on LUKS on RAID1 shop:0)`. */
export function describeVolume({ name, layers }: Pick<Volume, 'name' | 'layers'>): string {
  const below = layers.at(-1) === name ? layers.slice(0, -1) : layers;
  return below.length === 0 ? name : `${name} (${below.toReversed().join(' on ')})`;
}

interface Partition {
  name: string;
  number: number;
  startBytes: number;
  bytes: number;
}

async function partitionsOf(device: string): Promise<Partition[]> {
  const own = device.slice('/dev/'.length);
  const folder = `/sys/block/${own}`;
  const names = (await readdir(folder)).filter((name) => name.startsWith(`${own}p`));
  const partitions: Partition[] = [];
  for (const name of names) {
    const read = async (file: string) =>
      Number(await readFile(`${folder}/${name}/${file}`, 'utf8').catch(() => Number.NaN));
    const number = await read('partition');
    if (!Number.isInteger(number)) continue;
    // In units of 512 bytes, whatever the sectors of the disk are.
    const startBytes = (await read('start')) * 512;
    partitions.push({ name, number, startBytes, bytes: (await read('size')) * 512 });
  }
  return partitions.toSorted((a, b) => a.number - b.number);
}

type Signature = Omit<Volume, keyof WholeDevice | 'node' | 'partition' | 'startBytes'>;

/** What blkid reads on the device itself, or on a stretch of it, never from a cache (blkid(8), `-p`). */
export async function signatureOf(
  context: Context,
  node: string,
  stretch?: { startBytes: number; bytes: number },
): Promise<Signature> {
  const words =
    stretch === undefined ? [] : ['-O', `${stretch.startBytes}`, '-S', `${stretch.bytes}`];
  const found = await context.run(['blkid', '-p', ...words, '-o', 'export', node], {
    output: 'capture',
    signal: context.signal,
  });
  const fields = new Map(
    found.out.split('\n').map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  const field = (name: string) => fields.get(name) ?? null;
  return {
    type: field('TYPE'),
    uuid: field('UUID'),
    label: field('LABEL'),
    partitionType: field('PART_ENTRY_TYPE'),
    partitionUuid: field('PART_ENTRY_UUID'),
    partitionLabel: field('PART_ENTRY_NAME'),
    problem: problemOf(found.exitStatus, found.err),
  };
}

/** 2: nothing was found, which for a damaged file system is an answer. */
function problemOf(exitStatus: number | null, err: string): string | null {
  if (exitStatus === 0 || exitStatus === 2) return null;
  if (exitStatus === 8) return 'it carries the signatures of more than one file system';
  return `blkid could not read it: ${err.trim().slice(0, 200)}`;
}
