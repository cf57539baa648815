import type { FileHandle } from 'node:fs/promises';
import { ActionError } from '../../../runner/action.ts';
import { filesystemBytes, parseSuperblock, SUPERBLOCK_BYTES } from './superblock.ts';
import type { Superblock } from './superblock.ts';

/** A copy of the superblock, and where: as `-b` and `-B` of e2fsck and e2image want it. */
export interface BackupSuperblock {
  block: number;
  blockSize: number;
  superblock: Superblock;
}

/** Where mke2fs puts copies by default; what was made otherwise is found by reading on from the start. */
const GROUPS = [1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343];
const BLOCK_SIZES = [1024, 2048, 4096, 8192, 16384, 32768, 65536];
const SCAN_BYTES = 512 * 1024 * 1024;
const SCAN_STEP = 1024 * 1024;
const ENOUGH = 8;

/**
 * Copies of the superblock of one file system, nearest first; empty when there are none. A copy counts when
 * it lies exactly where it says that it does, so that images inside the file system are not taken for it.
 * Of an older file system on the same device some copies may be left: the newest one is the one meant.
 * Throws ActionError `superblock_ambiguous` when that cannot be told.
 */
export async function findBackupSuperblocks(
  device: FileHandle,
  deviceBytes: number,
): Promise<BackupSuperblock[]> {
  const usual = await atUsualPlaces(device, deviceBytes);
  const found = usual.length > 0 ? usual : await atAnyPlace(device, deviceBytes);
  const newest = Math.max(...found.map(({ superblock }) => superblock.madeAt));
  const meant = found.filter(({ superblock }) => superblock.madeAt === newest);
  if (new Set(meant.map(({ superblock }) => superblock.uuid)).size > 1) {
    throw new ActionError(
      'superblock_ambiguous',
      'there are superblock copies of more than one file system, and it cannot be told which is meant',
    );
  }
  return meant.toSorted((one, other) => one.block - other.block);
}

async function atUsualPlaces(device: FileHandle, bytes: number): Promise<BackupSuperblock[]> {
  const found: BackupSuperblock[] = [];
  for (const blockSize of BLOCK_SIZES) {
    const firstBlock = blockSize === 1024 ? 1 : 0;
    for (const group of GROUPS) {
      const offset = (group * 8 * blockSize + firstBlock) * blockSize;
      if (offset + SUPERBLOCK_BYTES > bytes) break;
      const buffer = Buffer.alloc(SUPERBLOCK_BYTES);
      await device.read(buffer, 0, SUPERBLOCK_BYTES, offset);
      const backup = backupAt(buffer, offset, bytes);
      if (backup !== null) found.push(backup);
    }
  }
  return found;
}

async function atAnyPlace(device: FileHandle, bytes: number): Promise<BackupSuperblock[]> {
  const found: BackupSuperblock[] = [];
  const buffer = Buffer.alloc(SCAN_STEP);
  const end = Math.min(bytes, SCAN_BYTES);
  for (let start = 0; start < end && found.length < ENOUGH; start += SCAN_STEP) {
    const { bytesRead } = await device.read(buffer, 0, SCAN_STEP, start);
    for (let at = 0; at + SUPERBLOCK_BYTES <= bytesRead; at += SUPERBLOCK_BYTES) {
      const backup = backupAt(buffer.subarray(at, at + SUPERBLOCK_BYTES), start + at, bytes);
      if (backup !== null) found.push(backup);
    }
  }
  return found;
}

function backupAt(buffer: Buffer, offset: number, bytes: number): BackupSuperblock | null {
  const superblock = parseSuperblock(buffer);
  if (superblock === null || superblock.group === 0) return null;
  const { blockSize, firstBlock, blocksPerGroup, group } = superblock;
  const block = group * blocksPerGroup + firstBlock;
  if (block * blockSize !== offset || filesystemBytes(superblock) > bytes) return null;
  return { block, blockSize, superblock };
}
