import type { FileHandle } from 'node:fs/promises';
import { readDevice } from '../device-io.ts';

export const NTFS_SECTOR_BYTES = 512;
const OEM_ID = 'NTFS    ';

/** The first sector of an NTFS volume, or its copy in the last one. */
export interface NtfsBootSector {
  /** As blkid(8) writes it. */
  uuid: string;
  bytes: Buffer;
}

/**
 * Null when the bytes are no boot sector of a volume that ends with this last sector: it counts its sectors
 * without the one that the copy lies in.
 */
export function parseNtfsBootSector(bytes: Buffer, lastSector: number): NtfsBootSector | null {
  const isOwn =
    bytes.toString('latin1', 3, 11) === OEM_ID &&
    bytes.readUInt16LE(510) === 0xaa55 &&
    bytes.readUInt16LE(11) === NTFS_SECTOR_BYTES &&
    bytes.readBigUInt64LE(40) <= BigInt(lastSector);
  if (!isOwn) return null;
  const uuid = bytes.readBigUInt64LE(72).toString(16).toUpperCase().padStart(16, '0');
  return { uuid, bytes };
}

/** Both, where they are sound; the copy only where it is one of exactly this volume. */
export async function readNtfsBootSectors(
  device: FileHandle,
  deviceBytes: number,
): Promise<{ first: NtfsBootSector | null; copy: NtfsBootSector | null; copyAt: number }> {
  const lastSector = Math.floor(deviceBytes / NTFS_SECTOR_BYTES) - 1;
  const copyAt = lastSector * NTFS_SECTOR_BYTES;
  const read = async (offset: number) =>
    readDevice(device, Buffer.alloc(NTFS_SECTOR_BYTES), offset, NTFS_SECTOR_BYTES);
  const copy = parseNtfsBootSector(await read(copyAt), lastSector);
  const isOfThis = copy !== null && copy.bytes.readBigUInt64LE(40) === BigInt(lastSector);
  return {
    first: parseNtfsBootSector(await read(0), lastSector),
    copy: isOfThis ? copy : null,
    copyAt,
  };
}
