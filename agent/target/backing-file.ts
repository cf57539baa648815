import { stat } from 'node:fs/promises';
import type { BlockDevice } from './block-device.ts';
import type { LoopDevice } from './loop-devices.ts';
import { mountOf, readMounts, type Mount } from './mount-table.ts';

/** What the kernel appends to the name of a file whose name was removed. */
const DELETED = ' (deleted)';

/**
 * Whether an image file is what lies behind a loop device. The kernel tells only the name under which the
 * file was attached, which may be hidden here, or gone: `unknown` means that it could be this one.
 */
export async function backingOf(
  loop: LoopDevice,
  image: BlockDevice,
): Promise<'same' | 'another' | 'unknown'> {
  if (loop.backing === image.path) return 'same';
  if (await isSameFile(loop.backing, image.realPath)) return 'same';
  if (!fits(loop, image)) return 'another';
  if (loop.backing.endsWith(DELETED)) return 'unknown';
  if ((await identityOf(loop.backing)) !== null) return 'another';
  // Under a tmpfs the name is only hidden; elsewhere it belongs to some other mount namespace.
  return mountOf(await readMounts(), loop.backing)?.type === 'tmpfs' ? 'another' : 'unknown';
}

/** Whether two absolute paths without symlinks lead to one file, also by hard links and bind mounts. */
export async function isSameFile(one: string, other: string): Promise<boolean> {
  if (one === other) return true;
  const [first, second] = await Promise.all([identityOf(one), identityOf(other)]);
  if (first !== null && first === second) return true;
  // A mount over one of them may hide it here; the mount table still has where it lies.
  const mounts = await readMounts();
  const places = new Set(placesOf(mounts, one));
  return placesOf(mounts, other).some((place) => places.has(place));
}

/** Device and inode; null when nothing can be seen there. */
async function identityOf(path: string): Promise<string | null> {
  try {
    const { dev, ino } = await stat(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

/** Everywhere a path may lie: file system and path within, by each mount above it. */
function placesOf(mounts: readonly Mount[], path: string): string[] {
  return mounts
    .filter(({ mountPoint }) => isAtOrUnder(path, mountPoint))
    .map(({ major, minor, root, mountPoint }) => {
      const rest = mountPoint === '/' ? path : path.slice(mountPoint.length);
      return `${major}:${minor}:${root === '/' ? '' : root}${rest}`;
    });
}

function isAtOrUnder(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}

/** A loop device without a limit is as long as its file, to the sector. */
function fits({ start, end, bytes }: LoopDevice, image: BlockDevice): boolean {
  const rest = image.bytes - start - bytes;
  return Number.isFinite(end) ? rest >= 0 : rest >= 0 && rest < 512;
}
