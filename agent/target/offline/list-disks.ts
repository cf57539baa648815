import { readdir, readFile } from 'node:fs/promises';
import { findUse } from '../device-use.ts';
import { inspectDevice } from '../block-device.ts';

/** Kinds of block devices that are no disks: made of others, in memory, or without a medium. */
const NO_DISK = /^(?:loop|ram|zram|dm-|md|sr|fd|nbd)/;

/** The disks of this machine that the running system uses nothing of, by path, sorted by name. */
export async function listUnusedDisks(): Promise<string[]> {
  const names = (await readdir('/sys/block')).filter((name) => !NO_DISK.test(name)).toSorted();
  const unused: string[] = [];
  for (const name of names) {
    const size = Number(await readFile(`/sys/block/${name}/size`, 'utf8').catch(() => '0'));
    if (size > 0 && (await isUnused(name))) unused.push(`/dev/${name}`);
  }
  return unused;
}

async function isUnused(name: string): Promise<boolean> {
  const partitions = (await readdir(`/sys/block/${name}`)).filter((entry) =>
    entry.startsWith(name),
  );
  for (const device of [name, ...partitions]) {
    const found = await inspectDevice(`/dev/${device}`).catch(() => null);
    if (found === null || (await findUse(found)) !== null) return false;
  }
  return true;
}
