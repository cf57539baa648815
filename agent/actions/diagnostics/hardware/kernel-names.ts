import { readdir, readFile, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { inspectDevice, sysfsFolder, type BlockDevice } from '../../../target/block-device.ts';

/** Devices made of devices made of devices are followed so far. */
const MAX_DEPTH = 6;
/** Of a port in a device's place in sysfs, as the kernel's log names it: `ata3`. */
const PORT = /\/(ata\d+)\//;

/** What the kernel calls a disk in its log and in /proc/mdstat. */
export interface KernelNames {
  /** Of the disk, its partitions, and all that it is made of: `md0`, `sda`, `sda1`. */
  devices: ReadonlySet<string>;
  ports: ReadonlySet<string>;
}

/** Empty for an image file, which the kernel has no name for. */
export async function kernelNames(disk: BlockDevice): Promise<KernelNames> {
  const names = { devices: new Set<string>(), ports: new Set<string>() };
  if (disk.number !== null) await gather(sysfsFolder(disk.number), names, 0);
  return names;
}

async function gather(
  folder: string,
  names: { devices: Set<string>; ports: Set<string> },
  depth: number,
): Promise<void> {
  const place = await realpath(folder).catch(() => null);
  if (place === null || depth > MAX_DEPTH) return;
  const isPartition = await readFile(join(place, 'partition')).then(
    () => true,
    () => false,
  );
  const whole = isPartition ? dirname(place) : place;
  const name = basename(whole);
  if (names.devices.has(name)) return;
  names.devices.add(name);
  const [, port] = PORT.exec(whole) ?? [];
  if (port !== undefined) names.ports.add(port);
  for (const entry of await namesIn(whole)) {
    if (entry.startsWith(name)) names.devices.add(entry);
  }
  for (const part of await namesIn(join(whole, 'slaves'))) {
    await gather(`/sys/class/block/${part}`, names, depth + 1);
  }
  const backing = await readFile(join(whole, 'loop/backing_file'), 'utf8').catch(() => null);
  if (backing === null) return;
  const behind = await inspectDevice(backing.trimEnd()).catch(() => null);
  if (behind?.number != null) await gather(sysfsFolder(behind.number), names, depth + 1);
}

function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((): string[] => []);
}
