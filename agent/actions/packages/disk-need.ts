import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ActionError } from '../../runner/action.ts';
import { inspectFolder } from '../../target/durable-folder.ts';
import { mountOf, readMounts, type Mount } from '../../target/mount-table.ts';
import { usableOf } from '../filesystem/scratch-space.ts';

/** What one file system must hold; free room is a lower bound that stays the same while logs grow. */
export interface DiskNeed {
  fileSystem: string;
  neededBytes: number;
  freeAtLeastBytes: number;
}

/**
 * What each file system must hold at most while these bytes are written into these folders. An upgrade
 * needs the new files beside the old ones, so nothing is taken off for what it replaces.
 *
 * Throws ActionError `no_space` where that is more than there is.
 */
export async function diskNeeds(bytesByFolder: ReadonlyMap<string, number>): Promise<DiskNeed[]> {
  const mounts = await readMounts();
  const byDevice = new Map<string, { name: string; folder: string; bytes: number }>();
  for (const [folder, bytes] of bytesByFolder) {
    const real = await nearestExisting(folder);
    const { major, minor } = mountOf(mounts, real) ?? { major: 0, minor: 0 };
    const device = `${major}:${minor}`;
    const known = byDevice.get(device);
    const name = known?.name ?? nameOf(mounts, major, minor);
    byDevice.set(device, {
      name,
      folder: known?.folder ?? real,
      bytes: (known?.bytes ?? 0) + bytes,
    });
  }
  const needs: DiskNeed[] = [];
  for (const { name, folder, bytes } of byDevice.values()) {
    const usable = usableOf(await inspectFolder(folder));
    if (usable < bytes) {
      throw new ActionError(
        'no_space',
        `the file system ${name} has room for ${usable} bytes; up to ${bytes} are needed. Nothing was changed.`,
      );
    }
    const freeAtLeastBytes = powerOfTwoBelow(usable);
    needs.push({ fileSystem: name, neededBytes: bytes, freeAtLeastBytes });
  }
  return needs.toSorted((a, b) => (a.fileSystem < b.fileSystem ? -1 : 1));
}

/** Where people look for it: a job sees parts of one file system mounted at several places. */
function nameOf(mounts: readonly Mount[], major: number, minor: number): string {
  const places = mounts
    .filter((mount) => mount.major === major && mount.minor === minor)
    .map(({ mountPoint }) => mountPoint)
    .toSorted((a, b) => a.length - b.length);
  return places[0] ?? '/';
}

async function nearestExisting(folder: string): Promise<string> {
  const real = await realpath(folder).catch(() => null);
  return real ?? nearestExisting(dirname(folder));
}

function powerOfTwoBelow(bytes: number): number {
  return bytes < 1 ? 0 : 2 ** Math.floor(Math.log2(bytes));
}
