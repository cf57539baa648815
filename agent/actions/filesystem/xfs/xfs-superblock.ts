import type { FileHandle } from 'node:fs/promises';
import type { ByteRange } from '../byte-ranges.ts';
import { readDevice } from '../device-io.ts';

const MAGIC = 'XFSB';
const HEAD_BYTES = 512;
const SECTOR_BYTES = 512;
const SCAN_BYTES = 4 * 1024 ** 3;
const SCAN_STEP = 4 * 1024 * 1024;
/** mkfs.xfs(8) makes 4 groups by default, more on arrays and very large disks. */
const USUAL_GROUPS = 64;
const USUAL_BLOCK_BYTES = 4096;

/** What a superblock of XFS says (Linux: fs/xfs/libxfs/xfs_format.h, struct xfs_dsb). */
export interface XfsSuperblock {
  uuid: string;
  blockBytes: number;
  /** Of the file system. */
  bytes: number;
  /** Of an allocation group; each begins with its own headers. */
  groupBytes: number;
  /** In use when it was last written. */
  usedBytes: number;
  log: ByteRange | 'external';
  /** Files lie on another device, which no tool here is told of. */
  hasRealtimeDevice: boolean;
}

/** Null when the bytes cannot be one. */
export function parseXfsSuperblock(bytes: Buffer): XfsSuperblock | null {
  if (bytes.length < HEAD_BYTES || bytes.toString('latin1', 0, 4) !== MAGIC) return null;
  const u32 = (at: number) => bytes.readUInt32BE(at);
  const u64 = (at: number) => Number(bytes.readBigUInt64BE(at));
  const blockBytes = u32(4);
  const [blocks, groupBlocks, logBlocks] = [u64(8), u32(84), u32(96)];
  const isPower =
    blockBytes >= 512 && blockBytes <= 65_536 && (blockBytes & (blockBytes - 1)) === 0;
  if (!isPower || blocks === 0 || groupBlocks === 0) return null;
  if (!Number.isSafeInteger(blocks * blockBytes)) return null;
  const logStart = bytes.readBigUInt64BE(48);
  const groupBits = BigInt(bytes[124]!);
  const group = Number(logStart >> groupBits);
  const within = Number(logStart & ((1n << groupBits) - 1n));
  return {
    uuid: bytes
      .toString('hex', 32, 48)
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    blockBytes,
    bytes: blocks * blockBytes,
    groupBytes: groupBlocks * blockBytes,
    usedBytes: Math.max(0, blocks - u64(144)) * blockBytes,
    log:
      logStart === 0n
        ? 'external'
        : [(group * groupBlocks + within) * blockBytes, logBlocks * blockBytes],
    hasRealtimeDevice: u64(16) > 0,
  };
}

/** The first one, or, where that is none, a copy of it at the head of another group; null for neither. */
export async function findXfsSuperblock(
  device: FileHandle,
  deviceBytes: number,
): Promise<{ superblock: XfsSuperblock; isFirst: boolean } | null> {
  const at = async (offset: number) => {
    if (offset + HEAD_BYTES > deviceBytes) return null;
    const bytes = await readDevice(device, Buffer.alloc(HEAD_BYTES), offset, HEAD_BYTES);
    const superblock = parseXfsSuperblock(bytes);
    return superblock !== null && superblock.bytes <= deviceBytes ? superblock : null;
  };
  const first = await at(0);
  if (first !== null) return { superblock: first, isFirst: true };
  for (const offset of usualPlaces(deviceBytes)) {
    const copy = await at(offset);
    if (copy !== null) return { superblock: copy, isFirst: false };
  }
  const copy = await scan(device, deviceBytes);
  return copy === null ? null : { superblock: copy, isFirst: false };
}

function usualPlaces(deviceBytes: number): number[] {
  const blocks = Math.floor(deviceBytes / USUAL_BLOCK_BYTES);
  return Array.from({ length: USUAL_GROUPS - 1 }, (_, index) => blocks / (index + 2)).flatMap(
    (size) => [Math.floor(size), Math.ceil(size)].map((count) => count * USUAL_BLOCK_BYTES),
  );
}

async function scan(device: FileHandle, deviceBytes: number): Promise<XfsSuperblock | null> {
  const buffer = Buffer.alloc(SCAN_STEP);
  const end = Math.min(deviceBytes, SCAN_BYTES);
  for (let start = 0; start < end; start += SCAN_STEP) {
    const piece = await readDevice(device, buffer, start, Math.min(SCAN_STEP, end - start));
    // From one place of the letters to the next: looking into each sector would take a minute.
    for (let at = piece.indexOf(MAGIC); at >= 0; at = piece.indexOf(MAGIC, at + 1)) {
      if ((start + at) % SECTOR_BYTES !== 0) continue;
      const superblock = parseXfsSuperblock(piece.subarray(at, at + HEAD_BYTES));
      if (superblock !== null && superblock.bytes <= deviceBytes) return superblock;
    }
  }
  return null;
}
