import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { crc32c } from '../crc32c.ts';
import { readDevice } from '../device-io.ts';

const MAGIC = '_BHRfS_M';
export const BTRFS_SUPERBLOCK_BYTES = 4096;
/** Each device has the first, and the others where it is long enough (btrfs(5)). */
const PLACES = [64 * 1024, 64 * 1024 ** 2, 256 * 1024 ** 3];
const CHECKSUM_BYTES = 32;
const at = {
  uuid: 32,
  place: 48,
  magic: 64,
  generation: 72,
  logRoot: 96,
  logRootTransaction: 104,
  totalBytes: 112,
  devices: 136,
  checksumType: 196,
  logRootLevel: 200,
} as const;

/** One place of the superblock (Linux: include/uapi/linux/btrfs_tree.h, struct btrfs_super_block). */
export interface BtrfsPlace {
  /** Number as `btrfs check -s` takes it. */
  copy: number;
  offset: number;
  bytes: Buffer;
  /** Null when there is no sound superblock. */
  superblock: BtrfsSuperblock | null;
}

export interface BtrfsSuperblock {
  uuid: string;
  generation: bigint;
  devices: number;
  /** Where the tree of the log lies; 0 for none. */
  logRoot: bigint;
  checksum: 'crc32c' | 'sha256' | 'another';
}

export async function readBtrfsPlaces(
  device: FileHandle,
  deviceBytes: number,
): Promise<BtrfsPlace[]> {
  const places: BtrfsPlace[] = [];
  for (const [copy, offset] of PLACES.entries()) {
    if (offset + BTRFS_SUPERBLOCK_BYTES > deviceBytes) break;
    const buffer = Buffer.alloc(BTRFS_SUPERBLOCK_BYTES);
    const bytes = await readDevice(device, buffer, offset, BTRFS_SUPERBLOCK_BYTES);
    places.push({ copy, offset, bytes, superblock: parseBtrfsSuperblock(bytes, offset) });
  }
  return places;
}

/** Null when it is none, lies elsewhere than it says, or has a wrong checksum. */
export function parseBtrfsSuperblock(bytes: Buffer, offset: number): BtrfsSuperblock | null {
  if (bytes.toString('latin1', at.magic, at.magic + 8) !== MAGIC) return null;
  if (bytes.readBigUInt64LE(at.place) !== BigInt(offset)) return null;
  const checksum = checksumOf(bytes);
  if (checksum !== null && !bytes.subarray(0, checksum.length).equals(checksum)) return null;
  return {
    uuid: bytes
      .toString('hex', at.uuid, at.uuid + 16)
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    generation: bytes.readBigUInt64LE(at.generation),
    devices: Number(bytes.readBigUInt64LE(at.devices)),
    logRoot: bytes.readBigUInt64LE(at.logRoot),
    checksum: checksumNames[bytes.readUInt16LE(at.checksumType)] ?? 'another',
  };
}

/** The same superblock for another place, as `btrfs rescue super-recover` writes it. */
export function movedTo(bytes: Buffer, offset: number): Buffer {
  const moved = Buffer.from(bytes);
  moved.writeBigUInt64LE(BigInt(offset), at.place);
  return checksummed(moved);
}

/** The same superblock without a log, as `btrfs rescue zero-log` writes it. */
export function withoutLog(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  changed.writeBigUInt64LE(0n, at.logRoot);
  changed.writeUInt8(0, at.logRootLevel);
  return checksummed(changed);
}

const checksumNames: Readonly<Record<number, BtrfsSuperblock['checksum']>> = {
  0: 'crc32c',
  2: 'sha256',
};

function checksummed(bytes: Buffer): Buffer {
  const checksum = checksumOf(bytes);
  if (checksum === null) throw new Error('a superblock with a checksum that is not known here');
  checksum.copy(bytes);
  return bytes;
}

/** Null for a kind that is not known here. */
function checksumOf(bytes: Buffer): Buffer | null {
  const content = bytes.subarray(CHECKSUM_BYTES);
  switch (checksumNames[bytes.readUInt16LE(at.checksumType)]) {
    case 'crc32c': {
      const checksum = Buffer.alloc(4);
      checksum.writeUInt32LE(~crc32c(content) >>> 0);
      return checksum;
    }
    case 'sha256':
      return createHash('sha256').update(content).digest();
    default:
      return null;
  }
}
