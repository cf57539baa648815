import { parseEnv } from 'node:util';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { TargetFiles } from '../target-files.ts';
import { isMountable, Mounts } from './mounts.ts';
import type { Volume } from './volumes.ts';

/** An operating system found on the disks. */
export interface FoundSystem {
  /** Names it for an order: the UUID of its root file system; on Btrfs `UUID:/subvolume`. */
  id: string;
  root: Volume;
  /** Path of the subvolume that is its root; null where the file system itself is. */
  subvolume: string | null;
  /** As os-release says, such as `Debian GNU/Linux 12 (bookworm)`; null when it says nothing. */
  name: string | null;
  hostname: string | null;
  machineId: string | null;
}

/** Where installers put the root of a system on Btrfs; snapshots of it are no systems of their own. */
const SUBVOLUMES = ['@', '@rootfs', 'root'];

type Context = Pick<ActionContext, 'run' | 'signal'>;

export interface SystemSearch {
  systems: FoundSystem[];
  /** File systems that could not be looked into, and why. */
  problems: { volume: Volume; why: string }[];
}

/**
 * Looks into every file system, read-only and without replaying a journal, for the root of an operating
 * system: `/etc`, programs, and what every system has there (the rule of libguestfs). Look-alikes such as a
 * separate /usr or /boot have no such three.
 */
export async function findSystems(
  context: Context,
  volumes: readonly Volume[],
  place: string,
): Promise<SystemSearch> {
  const found: SystemSearch = { systems: [], problems: [] };
  const point = join(place, 'look');
  await mkdir(point, { recursive: true });
  for (const volume of volumes) {
    if (!isMountable(volume.type) || volume.type === 'vfat' || volume.uuid === null) continue;
    const mounts = new Mounts(context);
    try {
      const options = volume.type === 'btrfs' ? ['subvolid=5'] : [];
      await mounts.mount(volume.node, volume.type, point, { write: false, options });
    } catch (error) {
      found.problems.push({ volume, why: (error as Error).message });
      continue;
    }
    try {
      for (const subvolume of [null, ...(volume.type === 'btrfs' ? SUBVOLUMES : [])]) {
        const folder = subvolume === null ? point : join(point, subvolume);
        const system = await lookAt(new TargetFiles(folder), volume, subvolume);
        if (system !== null) found.systems.push(system);
      }
    } finally {
      await mounts.unmountAll();
    }
  }
  return found;
}

async function lookAt(
  files: TargetFiles,
  root: Volume,
  subvolume: string | null,
): Promise<FoundSystem | null> {
  const isFolder = async (path: string) =>
    (await files.lstat(path).catch(() => null))?.isDirectory() === true;
  const isThere = async (path: string) => (await files.lstat(path).catch(() => null)) !== null;
  const hasPrograms =
    (await isFolder('/bin')) || (await files.readLink('/bin').catch(() => null)) === 'usr/bin';
  if (!(await isFolder('/etc')) || !hasPrograms) return null;
  if (!(await isThere('/etc/fstab')) && !(await isThere('/etc/hosts'))) return null;
  return {
    id: subvolume === null ? root.uuid! : `${root.uuid}:/${subvolume}`,
    root,
    subvolume,
    name: await osName(files),
    hostname: await firstLine(files, '/etc/hostname'),
    machineId: await firstLine(files, '/etc/machine-id'),
  };
}

async function osName(files: TargetFiles): Promise<string | null> {
  for (const path of ['/etc/os-release', '/usr/lib/os-release']) {
    const text = await files.read(path).catch(() => null);
    if (text === null) continue;
    const { PRETTY_NAME, NAME } = parseEnv(text) as Record<string, string | undefined>;
    return (PRETTY_NAME ?? NAME ?? '').slice(0, 200) || null;
  }
  return null;
}

async function firstLine(files: TargetFiles, path: string): Promise<string | null> {
  const text = await files.read(path, 1024).catch(() => null);
  return text?.split('\n')[0]?.trim().slice(0, 255) || null;
}
