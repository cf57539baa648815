import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { BlockDevice } from '../../target/block-device.ts';
import { probeSignature } from '../../target/signature.ts';
import { btrfs } from './btrfs/btrfs.ts';
import { readBtrfsPlaces } from './btrfs/btrfs-superblock.ts';
import { openDevice } from './device-io.ts';
import { findBackupSuperblocks } from './ext/backup-superblock.ts';
import { readPrimary } from './ext/filesystem-examination.ts';
import { fat } from './fat/fat.ts';
import { readFatBackup } from './fat/fat-boot-sector.ts';
import { ntfs } from './ntfs/ntfs.ts';
import { NTFS_SECTOR_BYTES, readNtfsBootSectors } from './ntfs/ntfs-boot-sector.ts';
import type { PatchedKind } from './patch/patched-kind.ts';
import { findXfsSuperblock } from './xfs/xfs-superblock.ts';
import { xfs } from './xfs/xfs.ts';

/** What can be checked; `ext` is ext2, ext3 and ext4. */
export type FilesystemKind = 'ext' | 'xfs' | 'btrfs' | 'vfat' | 'ntfs';

const KINDS: Readonly<Record<string, FilesystemKind>> = {
  ext2: 'ext',
  ext3: 'ext',
  ext4: 'ext',
  ext4dev: 'ext',
  xfs: 'xfs',
  btrfs: 'btrfs',
  vfat: 'vfat',
  ntfs: 'ntfs',
};

/** Those that a patch repairs. */
export const patchedKinds: Readonly<Record<Exclude<FilesystemKind, 'ext'>, PatchedKind>> = {
  xfs,
  btrfs,
  vfat: fat,
  ntfs,
};

/**
 * What kind of file system a device holds, also where its first superblock is gone: copies of it lie
 * elsewhere. Throws ActionError `filesystem_not_supported` for anything else that is recognised, and
 * `no_filesystem` where nothing is found.
 */
export async function findKind(
  context: Pick<ActionContext, 'run' | 'signal'>,
  device: BlockDevice,
): Promise<FilesystemKind> {
  const { type, partitionTable } = await probeSignature(context, device);
  if (type !== null) {
    const kind = KINDS[type];
    if (kind !== undefined) return kind;
    throw new ActionError('filesystem_not_supported', `${device.path} holds ${type}`);
  }
  // On a disk that fails blkid may have given up, although the superblock can be read.
  if ((await readPrimary(device)) !== null) return 'ext';
  const lost = await findLostKind(device);
  if (lost !== null) return lost;
  if (partitionTable !== null) {
    const what = `${device.path} is a disk with partitions (${partitionTable}): name one of them`;
    throw new ActionError('filesystem_not_supported', what);
  }
  throw new ActionError('no_filesystem', `there is no file system on ${device.path}`);
}

/** By the copies that are left; null when there are none. */
export async function findLostKind(device: BlockDevice): Promise<FilesystemKind | null> {
  await using handle = await openDevice(device, 'read');
  if ((await findBackupSuperblocks(handle, device.bytes)).length > 0) return 'ext';
  const places = await readBtrfsPlaces(handle, device.bytes);
  if (places.some(({ superblock }) => superblock !== null)) return 'btrfs';
  if (device.bytes >= NTFS_SECTOR_BYTES) {
    if ((await readNtfsBootSectors(handle, device.bytes)).copy !== null) return 'ntfs';
  }
  if ((await readFatBackup(handle, device.bytes)) !== null) return 'vfat';
  return (await findXfsSuperblock(handle, device.bytes)) === null ? null : 'xfs';
}
