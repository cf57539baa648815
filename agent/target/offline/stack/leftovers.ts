import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import { MAP_PREFIX, readMaps, tagOf } from './device-mapper.ts';
import { RAID_NUMBERS } from './raid.ts';

const run = promisify(execFile);
const WITHIN_MS = 30_000;

/** Something that a job opened and did not close. */
interface Leftover {
  /** The kernel's name: `dm-3`. */
  kernel: string;
  remove: readonly string[];
}

/**
 * Takes apart what jobs that were killed had opened: LVM, LUKS, RAID, the uppermost first. The kernel does that
 * for mounts and loop devices, not for these. What a job that runs holds open is refused by the kernel, too.
 * Resolves to what is gone; runs no program where nothing is left.
 *
 * @param running ids of the jobs that still run
 */
export async function removeLeftovers(running: readonly string[]): Promise<string[]> {
  const gone: string[] = [];
  for (;;) {
    const before = gone.length;
    for (const { kernel, remove } of await findLeftovers(running)) {
      if ((await entries(kernel, 'holders')).length > 0) continue;
      const [program, ...words] = remove;
      const done = await run(program!, words, { timeout: WITHIN_MS }).catch(() => null);
      if (done !== null) gone.push(remove.at(-1)!);
    }
    if (gone.length === before) return gone;
  }
}

async function findLeftovers(running: readonly string[]): Promise<Leftover[]> {
  const tags = new Set(running.map(tagOf));
  const maps = (await readMaps()).filter(([, name]) => name.startsWith(MAP_PREFIX));
  const mapped = maps
    .filter(([, name]) => !tags.has(name.slice(MAP_PREFIX.length).split('-')[0]!))
    .map(([kernel, name]) => ({ kernel, remove: ['dmsetup', 'remove', name] }));
  // An array does not say whose it is; while a job runs it may be about to use it.
  if (running.length > 0) return mapped;
  const own = new Set(maps.map(([kernel]) => kernel));
  const arrays: Leftover[] = [];
  for (const kernel of await readdir('/sys/block')) {
    const number = Number(/^md(\d+)$/.exec(kernel)?.[1] ?? Number.NaN);
    if (!(number >= RAID_NUMBERS.first && number <= RAID_NUMBERS.last)) continue;
    const on = await entries(kernel, 'slaves');
    if (!on.every((name) => /^(?:loop|md)\d+/.test(name) || own.has(name))) continue;
    arrays.push({ kernel, remove: ['mdadm', '--stop', `/dev/${kernel}`] });
  }
  return [...mapped, ...arrays];
}

async function entries(kernel: string, folder: 'holders' | 'slaves'): Promise<string[]> {
  return readdir(`/sys/block/${kernel}/${folder}`).catch(() => []);
}
