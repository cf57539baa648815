import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { BlockDevice } from '../../target/block-device.ts';
import { probeSignature } from '../../target/signature.ts';
import { findBackupSuperblocks } from './ext/backup-superblock.ts';
import { openDevice, readDevice } from './device-io.ts';
import { readPrimary } from './ext/filesystem-examination.ts';

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

/** Where mkfs.btrfs puts the second superblock, and where its magic lies in it (btrfs-progs, disk-io.h). */
const BTRFS_MIRROR_BYTES = 64 * 1024 * 1024 + 0x40;
const BTRFS_MAGIC = '_BHRfS_M';
/** Each allocation group of XFS begins with a superblock. */
const XFS_MAGIC = 'XFSB';
const NTFS_MAGIC = 'NTFS    ';
const SCAN_BYTES = 4 * 1024 ** 3;
const PIECE_BYTES = 4 * 1024 * 1024;
const SECTOR_BYTES = 512;

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
  const handle = await openDevice(device, 'read');
  const textAt = async (offset: number, length: number) => {
    if (offset < 0 || offset + length > device.bytes) return '';
    return (await readDevice(handle, Buffer.alloc(length), offset, length)).toString('latin1');
  };
  try {
    if ((await findBackupSuperblocks(handle, device.bytes)).length > 0) return 'ext';
    if ((await textAt(BTRFS_MIRROR_BYTES, 8)) === BTRFS_MAGIC) return 'btrfs';
    // A whole number of sectors: the last one is a copy of the first (NTFS.com, boot sector).
    const last = Math.floor(device.bytes / SECTOR_BYTES) * SECTOR_BYTES - SECTOR_BYTES;
    if ((await textAt(last + 3, 8)) === NTFS_MAGIC) return 'ntfs';
    return (await hasXfsGroup(handle, device.bytes)) ? 'xfs' : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error;
    throw new ActionError('hardware_failing', 'the disk reports an input/output error');
  } finally {
    await handle.close();
  }
}

async function hasXfsGroup(
  handle: Awaited<ReturnType<typeof openDevice>>,
  bytes: number,
): Promise<boolean> {
  const buffer = Buffer.alloc(PIECE_BYTES);
  const end = Math.min(bytes, SCAN_BYTES);
  for (let start = 0; start < end; start += PIECE_BYTES) {
    const piece = await readDevice(handle, buffer, start, Math.min(PIECE_BYTES, end - start));
    for (let at = 0; at + 4 <= piece.length; at += SECTOR_BYTES) {
      if (start + at > 0 && piece.toString('latin1', at, at + 4) === XFS_MAGIC) return true;
    }
  }
  return false;
}
