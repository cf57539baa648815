import type { FileHandle } from 'node:fs/promises';
import { readDevice } from '../device-io.ts';

const SECTOR_BYTES = 512;
/** Where mkfs.fat(8) and Windows keep the copy of FAT32, and how many sectors belong to it. */
export const FAT_BACKUP_SECTOR = 6;
export const FAT_BACKUP_SECTORS = 3;

/** The first sector of a FAT file system (Microsoft, "FAT General Overview", BPB). */
export interface FatBootSector {
  sectorBytes: number;
  isFat32: boolean;
  /** As blkid(8) writes it: `1A2B-3C4D`. */
  uuid: string;
  /** FAT32 only: where its copy lies; null for none. */
  backupSector: number | null;
  /** Boot sector, tables and, but for FAT32, the root folder: whoever writes changes these. */
  headBytes: number;
}

/** Null when the bytes cannot be one. */
export function parseFatBootSector(bytes: Buffer): FatBootSector | null {
  if (bytes.length < SECTOR_BYTES || bytes.readUInt16LE(510) !== 0xaa55) return null;
  if (bytes[0] !== 0xeb && bytes[0] !== 0xe9) return null;
  const sectorBytes = bytes.readUInt16LE(11);
  const clusterSectors = bytes[13]!;
  const reserved = bytes.readUInt16LE(14);
  const tables = bytes[16]!;
  const isPower = (n: number) => n > 0 && (n & (n - 1)) === 0;
  if (![512, 1024, 2048, 4096].includes(sectorBytes) || !isPower(clusterSectors)) return null;
  if (reserved === 0 || tables === 0 || tables > 2) return null;
  const shortTable = bytes.readUInt16LE(22);
  const isFat32 = shortTable === 0;
  const tableSectors = isFat32 ? bytes.readUInt32LE(36) : shortTable;
  if (tableSectors === 0) return null;
  const rootBytes = bytes.readUInt16LE(17) * 32;
  const serial = bytes.readUInt32LE(isFat32 ? 67 : 39);
  const backupSector = isFat32 ? bytes.readUInt16LE(50) : 0;
  return {
    sectorBytes,
    isFat32,
    uuid: serial
      .toString(16)
      .toUpperCase()
      .padStart(8, '0')
      .replace(/^(.{4})/, '$1-'),
    backupSector: backupSector === 0 || backupSector === 0xffff ? null : backupSector,
    headBytes: (reserved + tables * tableSectors) * sectorBytes + rootBytes,
  };
}

export async function readFatBootSector(device: FileHandle): Promise<FatBootSector | null> {
  return parseFatBootSector(await readDevice(device, Buffer.alloc(SECTOR_BYTES), 0, SECTOR_BYTES));
}

/** The copy that FAT32 keeps of its first sectors; null when there is none at the usual place. */
export async function readFatBackup(
  device: FileHandle,
  deviceBytes: number,
): Promise<(FatBootSector & { bytes: Buffer }) | null> {
  const start = FAT_BACKUP_SECTOR * SECTOR_BYTES;
  const length = FAT_BACKUP_SECTORS * SECTOR_BYTES;
  if (deviceBytes < start + length) return null;
  const bytes = await readDevice(device, Buffer.alloc(length), start, length);
  const parsed = parseFatBootSector(bytes);
  // With larger sectors the copy lies elsewhere, and these bytes belong to something else.
  const isOwn =
    parsed?.isFat32 && parsed.backupSector === FAT_BACKUP_SECTOR && parsed.sectorBytes === 512;
  return isOwn ? { ...parsed, bytes } : null;
}
