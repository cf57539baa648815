import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../../target/block-device.ts';
import { findUse } from '../../../target/device-use.ts';
import { probeSignature } from '../../../target/signature.ts';
import { findBackupSuperblocks, type BackupSuperblock } from './backup-superblock.ts';
import { openDevice, readDevice } from '../device-io.ts';
import {
  filesystemBytes,
  parseSuperblock,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_OFFSET,
  type Superblock,
} from './superblock.ts';

/** An ext2, ext3 or ext4 file system that nobody uses. */
export interface ExtFilesystem {
  device: BlockDevice;
  /** The one at its place, or the nearest copy where that one is damaged. */
  superblock: Superblock;
  /** The copy that tools must be told to use; null while the one at its place is sound. */
  backup: BackupSuperblock | null;
}

/**
 * Looks at what the parameter `device` names, and refuses what must not be touched: a device in use,
 * another kind of file system or a container, one that ends behind its device, one whose journal lies on
 * another disk.
 */
export async function examineFilesystem(
  context: Pick<ActionContext, 'run' | 'signal'>,
  path: string,
): Promise<ExtFilesystem> {
  const device = await inspectDevice(path);
  const use = await findUse(device);
  if (use !== null) throw new ActionError('device_in_use', `${path} is in use: ${use}`);
  await refuseOthers(context, device);
  const { superblock, backup } = await readSuperblocks(device);
  if (filesystemBytes(superblock) > device.bytes) {
    throw new ActionError(
      'filesystem_truncated',
      `the file system says it has ${filesystemBytes(superblock)} bytes, ${path} has ${device.bytes}: ` +
        'either the partition table or the superblock is wrong',
    );
  }
  if (superblock.journal === 'external') {
    throw new ActionError(
      'journal_elsewhere',
      'the journal of this file system is on another disk',
    );
  }
  return { device, superblock, backup };
}

/** Looks for a copy of the superblock although the first one reads well: its group table does not. */
export async function withBackupSuperblock(filesystem: ExtFilesystem): Promise<ExtFilesystem> {
  const { device } = filesystem;
  const [backup] = await readBackups(device);
  return backup === undefined || backup.superblock.uuid !== filesystem.superblock.uuid
    ? filesystem
    : { ...filesystem, backup };
}

/** The superblock at its place as it is now; null when it is none. */
export async function readPrimary(device: BlockDevice): Promise<Superblock | null> {
  if (device.bytes < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES) return null;
  const handle = await openDevice(device, 'read');
  try {
    const buffer = Buffer.alloc(SUPERBLOCK_BYTES);
    return parseSuperblock(await readDevice(handle, buffer, SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES));
  } finally {
    await handle.close();
  }
}

async function refuseOthers(
  context: Pick<ActionContext, 'run' | 'signal'>,
  device: BlockDevice,
): Promise<void> {
  const { type, partitionTable } = await probeSignature(context, device);
  if (type !== null && !/^ext[234](?:dev)?$/.test(type)) {
    throw new ActionError('filesystem_not_supported', `${device.path} holds ${type}, not ext2/3/4`);
  }
  if (type === null && partitionTable !== null) {
    const what = `${device.path} is a disk with partitions (${partitionTable}): name one of them`;
    throw new ActionError('filesystem_not_supported', what);
  }
}

async function readSuperblocks(
  device: BlockDevice,
): Promise<Pick<ExtFilesystem, 'superblock' | 'backup'>> {
  const primary = await readPrimary(device);
  if (primary !== null) return { superblock: primary, backup: null };
  const [backup] = await readBackups(device);
  if (backup !== undefined) return { superblock: backup.superblock, backup };
  throw new ActionError('no_filesystem', `there is no ext2/3/4 file system on ${device.path}`);
}

async function readBackups(device: BlockDevice): Promise<BackupSuperblock[]> {
  const handle = await openDevice(device, 'read');
  try {
    return await findBackupSuperblocks(handle, device.bytes);
  } finally {
    await handle.close();
  }
}
