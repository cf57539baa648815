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
  /** The disk as the order names it; null when it lies on several. */
  disk: string | null;
  /** Number in the partition table. */
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
  const folder = join(place, 'disks');
  await mkdir(folder, { recursive: true });
  const volumes: Volume[] = [];
  for (const [at, disk] of disks.entries()) {
    const whole = join(folder, String(at + 1));
    await symlink(disk.loop, whole);
    const partitions = await partitionsOf(disk.loopName);
    for (const { name, number, startBytes, bytes } of partitions) {
      const node = `${whole}p${number}`;
      await symlink(`/dev/${name}`, node);
      volumes.push({
        name: `partition ${number} of ${disk.given}`,
        node,
        device: `/dev/${name}`,
        disk: disk.given,
        partition: number,
        startBytes,
        bytes,
        ...(await signatureOf(context, node)),
      });
    }
    if (partitions.length > 0) continue;
    volumes.push({
      name: disk.given,
      node: whole,
      device: disk.loop,
      disk: disk.given,
      partition: null,
      startBytes: 0,
      bytes: disk.device.bytes,
      ...(await signatureOf(context, whole)),
    });
  }
  return volumes;
}

interface Partition {
  name: string;
  number: number;
  startBytes: number;
  bytes: number;
}

async function partitionsOf(loopName: string): Promise<Partition[]> {
  const folder = `/sys/block/${loopName}`;
  const names = (await readdir(folder)).filter((name) => name.startsWith(`${loopName}p`));
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

type Signature = Omit<
  Volume,
  'name' | 'node' | 'device' | 'disk' | 'partition' | 'startBytes' | 'bytes'
>;

/** What blkid reads on the device itself, never from a cache (blkid(8), `-p`). */
export async function signatureOf(context: Context, node: string): Promise<Signature> {
  const found = await context.run(['blkid', '-p', '-o', 'export', node], {
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
