import { crc32c } from '../crc32c.ts';

export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 1024;

const MAGIC = 0xef53;
const CHECKSUM_AT = 0x3fc;

const compat = { hasJournal: 0x4 } as const;
const incompat = {
  needsRecovery: 0x4,
  journalDevice: 0x8,
  extents: 0x40,
  bits64: 0x80,
  multiMountProtection: 0x100,
  flexGroups: 0x200,
} as const;
const roCompat = { gdtChecksum: 0x10, metadataChecksum: 0x400 } as const;
/** huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc, metadata_csum: since ext4. */
const EXT4_RO_COMPAT = 0x8 | roCompat.gdtChecksum | 0x20 | 0x40 | 0x100 | 0x200 | 0x400;
const EXT4_INCOMPAT = incompat.extents | incompat.bits64 | incompat.flexGroups | 0x100;

const STATE_VALID = 1;
const STATE_ERRORS = 2;

/** What a superblock of ext2, ext3 or ext4 says (Linux: Documentation/filesystems/ext4/super.rst). */
export interface Superblock {
  type: 'ext2' | 'ext3' | 'ext4';
  uuid: string;
  blockSize: number;
  blocks: number;
  firstBlock: number;
  blocksPerGroup: number;
  /** Of the group this copy belongs to, modulo 65536. */
  group: number;
  /** The journal holds changes that are not written to their places yet. */
  needsRecovery: boolean;
  journal: 'none' | 'internal' | 'external';
  cleanlyUnmounted: boolean;
  /** The kernel has found errors and said so here. */
  errorsRecorded: boolean;
  errorCount: number;
  /** Seconds since 1970. */
  madeAt: number;
  mountedAt: number;
  writtenAt: number;
  checkedAt: number;
  /** Several machines may reach the disk; e2fsck then keeps no undo file, and writes past it. */
  multiMountProtection: boolean;
}

/**
 * Reads the 1024 bytes of a superblock. Null when they are none: the magic number or the checksum is wrong,
 * or the geometry cannot be.
 */
export function parseSuperblock(bytes: Buffer): Superblock | null {
  const u16 = (at: number) => bytes.readUInt16LE(at);
  const u32 = (at: number) => bytes.readUInt32LE(at);
  if (bytes.length < SUPERBLOCK_BYTES || u16(0x38) !== MAGIC) return null;
  const features = { compat: u32(0x5c), incompat: u32(0x60), roCompat: u32(0x64) };
  const hasChecksum = (features.roCompat & roCompat.metadataChecksum) !== 0;
  if (hasChecksum && crc32c(bytes.subarray(0, CHECKSUM_AT)) !== u32(CHECKSUM_AT)) return null;
  const logBlockSize = u32(0x18);
  const is64 = (features.incompat & incompat.bits64) !== 0;
  const blocks = u32(0x04) + (is64 ? u32(0x150) * 2 ** 32 : 0);
  if (logBlockSize > 6 || blocks === 0 || u32(0x20) === 0 || u32(0x28) === 0) return null;
  const blockSize = 1024 << logBlockSize;
  if (!Number.isSafeInteger(blocks * blockSize)) return null;
  const time = (low: number, high: number) => u32(low) + bytes.readUInt8(high) * 2 ** 32;
  const hasJournal = (features.compat & compat.hasJournal) !== 0;
  const state = u16(0x3a);
  return {
    type: typeOf(features),
    uuid: formatUuid(bytes.subarray(0x68, 0x78)),
    blockSize,
    blocks,
    firstBlock: u32(0x14),
    blocksPerGroup: u32(0x20),
    group: u16(0x5a),
    needsRecovery: (features.incompat & incompat.needsRecovery) !== 0,
    journal: !hasJournal ? 'none' : isExternal(bytes) ? 'external' : 'internal',
    cleanlyUnmounted: (state & STATE_VALID) !== 0,
    errorsRecorded: (state & STATE_ERRORS) !== 0 || u32(0x194) !== 0,
    errorCount: u32(0x194),
    madeAt: time(0x108, 0x276),
    mountedAt: time(0x2c, 0x275),
    writtenAt: time(0x30, 0x274),
    checkedAt: time(0x40, 0x277),
    multiMountProtection: (features.incompat & incompat.multiMountProtection) !== 0,
  };
}

export function filesystemBytes(superblock: Superblock): number {
  return superblock.blocks * superblock.blockSize;
}

function typeOf(features: { compat: number; incompat: number; roCompat: number }) {
  const isExt4 = features.incompat & EXT4_INCOMPAT || features.roCompat & EXT4_RO_COMPAT;
  if (isExt4) return 'ext4';
  return features.compat & compat.hasJournal ? 'ext3' : 'ext2';
}

function isExternal(bytes: Buffer): boolean {
  const JOURNAL_UUID = 0xd0;
  const JOURNAL_INODE = 0xe0;
  const hasUuid = bytes.subarray(JOURNAL_UUID, JOURNAL_UUID + 16).some((byte) => byte !== 0);
  return bytes.readUInt32LE(JOURNAL_INODE) === 0 && hasUuid;
}

function formatUuid(bytes: Buffer): string {
  return bytes
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, (_, ...parts: string[]) =>
      parts.slice(0, 5).join('-'),
    );
}
