import { constants } from 'node:fs';
import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { backingOf, isSameFile } from './backing-file.ts';
import { inspectDevice, sysfsFolder, type BlockDevice, type DeviceNumber } from './block-device.ts';
import { readLoopDevices, type LoopDevice } from './loop-devices.ts';
import { readMounts } from './mount-table.ts';

/** Loop devices on loop devices are followed so far. */
const MAX_DEPTH = 4;

/**
 * Who uses a device or image file now, in words; null when nobody does: mounted here or in another mount
 * namespace, swap, member of another device (LVM, RAID, dm-crypt), or behind a loop device.
 *
 * An image file behind any loop device counts as used, mounted or not: the two have caches of their own. So
 * does one with several hard links: under another name it may be used where nothing here shows it.
 */
export async function findUse(device: BlockDevice): Promise<string | null> {
  return useOf(device, 0);
}

async function useOf(device: BlockDevice, depth: number): Promise<string | null> {
  const swap = await swapUse(device);
  if (swap !== null) return swap;
  if (device.number === null) return fileUse(device);
  return (
    (await mountUse(device.number)) ??
    (await holderUse(device.number)) ??
    (await siblingUse(device.number, depth)) ??
    (await exclusiveUse(device))
  );
}

async function mountUse({ major, minor }: DeviceNumber): Promise<string | null> {
  const mounts = await readMounts();
  const mount = mounts.find((entry) => entry.major === major && entry.minor === minor);
  return mount === undefined ? null : `it is mounted at ${mount.mountPoint}`;
}

async function swapUse(device: BlockDevice): Promise<string | null> {
  const swaps = await readFile('/proc/swaps', 'utf8').catch(() => '');
  for (const line of swaps.split('\n').slice(1)) {
    const [path] = line.split(/\s/);
    if (path === undefined || !path.startsWith('/')) continue;
    const real = await realpath(path).catch(() => path);
    if (real === device.realPath) return 'it is in use as swap space';
  }
  return null;
}

async function holderUse(number: DeviceNumber): Promise<string | null> {
  const holders = await readdir(join(sysfsFolder(number), 'holders')).catch((): string[] => []);
  return holders.length === 0 ? null : `it is part of ${holders.join(', ')}`;
}

async function fileUse(device: BlockDevice): Promise<string | null> {
  for (const loop of await readLoopDevices()) {
    const backing = await backingOf(loop, device);
    if (backing === 'another') continue;
    const use = await mountUse(loop);
    const there = use === null ? '' : `, and ${use} there`;
    if (backing === 'same') return `it is behind /dev/${loop.name}${there}`;
    return `it may be behind /dev/${loop.name}, whose file (${loop.backing}) cannot be looked at${there}`;
  }
  return linkUse(device.realPath);
}

async function linkUse(path: string): Promise<string | null> {
  const { nlink } = await stat(path);
  return nlink === 1
    ? null
    : `it has ${nlink} names (hard links), and whether it is used by another one cannot be told`;
}

/** A loop device is used too when what lies behind it is, or another loop device over the same bytes. */
async function siblingUse(number: DeviceNumber, depth: number): Promise<string | null> {
  const loops = await readLoopDevices();
  const own = loops.find(({ major, minor }) => major === number.major && minor === number.minor);
  if (own === undefined || depth >= MAX_DEPTH) return null;
  for (const other of loops) {
    if (other.name === own.name || !overlap(own, other)) continue;
    if (!(await isSameFile(own.backing, other.backing))) continue;
    const use = (await mountUse(other)) ?? (await holderUse(other));
    if (use !== null) return `/dev/${other.name} has the same bytes: ${use} there`;
  }
  const behind = await inspectDevice(own.backing).catch(() => null);
  if (behind === null) return null;
  if (behind.kind === 'file') return linkUse(behind.realPath);
  const use = await useOf(behind, depth + 1);
  return use === null ? null : `${own.backing} is behind it: ${use}`;
}

/**
 * The kernel's own word, for all mount namespaces: a device somebody holds cannot be opened exclusively
 * (open(2), O_EXCL without O_CREAT).
 */
async function exclusiveUse(device: BlockDevice): Promise<string | null> {
  try {
    const handle = await open(device.realPath, constants.O_RDONLY | constants.O_EXCL);
    await handle.close();
    return null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    return 'another program holds it, or it is mounted elsewhere';
  }
}

function overlap(one: LoopDevice, other: LoopDevice): boolean {
  return one.start < other.end && other.start < one.end;
}
