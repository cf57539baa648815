import { readFile, realpath, stat, statfs } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { sysfsFolder, type DeviceNumber } from './block-device.ts';
import { readLoopDevices } from './loop-devices.ts';
import { mountOf, readMounts, type Mount } from './mount-table.ts';

export interface FolderStorage {
  path: string;
  /** `disk` outlives a power cut, `memory` does not, `unknown` could not be told. */
  medium: 'disk' | 'memory' | 'unknown';
  /** Type of its file system. */
  type: string;
  device: DeviceNumber;
  /** What may be written now; in memory, what the machine can spare. */
  freeBytes: number;
  totalBytes: number;
}

const MEMORY_TYPES = new Set(['tmpfs', 'ramfs', 'devtmpfs', 'rootfs', 'hugetlbfs', 'squashfs']);
const DISK_TYPES = new Set(
  ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'f2fs', 'jfs', 'zfs', 'bcachefs', 'vfat', 'exfat']
    .concat(['ntfs', 'ntfs3', 'fuseblk', 'nilfs2', 'reiserfs'])
    .concat(['nfs', 'nfs4', 'cifs', 'smb3', '9p', 'virtiofs', 'ceph', 'glusterfs']),
);
const MAX_DEPTH = 4;

/** Where a folder's files really are. Rejects with the system's error when it is not a folder. */
export async function inspectFolder(path: string): Promise<FolderStorage> {
  const real = await realpath(path);
  const [space, mounts] = await Promise.all([statfs(real), readMounts()]);
  if (!(await stat(real)).isDirectory()) throw new Error(`${path} is not a folder`);
  const mount = mountOf(mounts, real);
  const medium = mount === undefined ? 'unknown' : await mediumOf(mounts, mount, 0);
  const free = space.bavail * space.bsize;
  return {
    path: real,
    medium,
    type: mount?.type ?? '',
    device: { major: mount?.major ?? 0, minor: mount?.minor ?? 0 },
    freeBytes: medium === 'memory' ? Math.min(free, await spareMemory()) : free,
    totalBytes: space.blocks * space.bsize,
  };
}

async function mediumOf(
  mounts: readonly Mount[],
  mount: Mount,
  depth: number,
): Promise<FolderStorage['medium']> {
  if (depth > MAX_DEPTH) return 'unknown';
  if (MEMORY_TYPES.has(mount.type)) return 'memory';
  const folderMedium = async (path: string | undefined): Promise<FolderStorage['medium']> => {
    if (path === undefined) return 'unknown';
    const under = mountOf(mounts, path);
    const isHere = await stat(path).then(
      () => true,
      () => false,
    );
    return under === undefined || !isHere ? 'unknown' : mediumOf(mounts, under, depth + 1);
  };
  if (mount.type === 'overlay') {
    // Without an upper folder it cannot be written.
    const upper = mount.options.get('upperdir');
    return mount.options.has('volatile') ? 'memory' : folderMedium(upper);
  }
  if (!DISK_TYPES.has(mount.type)) return 'unknown';
  const device = await kernelName(mount);
  if (device === null) return 'disk';
  if (/^(?:zram|ram)\d/.test(device)) return 'memory';
  if (!device.startsWith('loop')) return 'disk';
  const loop = (await readLoopDevices()).find(({ name }) => name === device);
  return loop?.backing.startsWith('/dev/') ? 'disk' : folderMedium(loop && dirname(loop.backing));
}

/** `sda1`, `loop3`; null for file systems that lie on no device of their own (network, btrfs). */
async function kernelName(mount: Mount): Promise<string | null> {
  return realpath(sysfsFolder(mount)).then(
    (path) => basename(path),
    () => null,
  );
}

/** Half of the memory that is free: the rest is for the programs that fill it. */
async function spareMemory(): Promise<number> {
  const table = await readFile('/proc/meminfo', 'utf8');
  const kibibytes = Number(/^MemAvailable:\s+(\d+) kB/m.exec(table)?.[1] ?? 0);
  return kibibytes * 512;
}
