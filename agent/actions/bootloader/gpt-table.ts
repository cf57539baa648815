import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { readDevice } from '../filesystem/device-io.ts';

/** Layout of the GUID Partition Table: UEFI Specification 2.10, section 5.3. */
export const SECTOR_BYTES = 512;
export const ENTRIES_SECTOR = 2;
const MAGIC = 'EFI PART';
const HEADER_BYTES = 92;
const ENTRY_MIN_BYTES = 128;
const TABLE_MAX_BYTES = 1024 * 1024;
/** The list of partitions in the first sector, and the type that says "GPT" to programs which know only it. */
export const MBR_ENTRIES = 446;
export const MBR_END = 510;
export const MBR_SIGNATURE = 0xaa55;
export const PROTECTIVE = 0xee;
/** In a header: where the other one lies, and whose disk it is. */
const [OTHER_AT, GUID_AT, GUID_BYTES] = [32, 56, 16];

export interface Table {
  header: Buffer;
  entries: Buffer;
}

/** What is wrong, in words, unless both checksums are right, and the header says that it lies here. */
export async function readTable(
  disk: FileHandle,
  sector: number,
  last: number,
): Promise<Table | string> {
  const read = (start: number, sectors: number) =>
    readDevice(
      disk,
      Buffer.alloc(sectors * SECTOR_BYTES),
      start * SECTOR_BYTES,
      sectors * SECTOR_BYTES,
    );
  const block = await read(sector, 1);
  if (block.toString('latin1', 0, 8) !== MAGIC) return `it does not begin with "${MAGIC}"`;
  const bytes = block.readUInt32LE(12);
  if (bytes < HEADER_BYTES || bytes > SECTOR_BYTES) return 'its header has an impossible length';
  const header = Buffer.from(block.subarray(0, bytes));
  if (header.readUInt32LE(16) !== checksum(header)) return 'the checksum of its header is wrong';
  if (header.readBigUInt64LE(24) !== BigInt(sector)) return 'its header is that of another sector';
  const [count, each] = [header.readUInt32LE(80), header.readUInt32LE(84)];
  const length = count * each;
  if (each < ENTRY_MIN_BYTES || length === 0 || length > TABLE_MAX_BYTES) {
    return 'its list of partitions has an impossible length';
  }
  const sectors = wholeSectors(length);
  const start = header.readBigUInt64LE(72);
  // The first table has to end where the partitions may begin.
  if (
    start < ENTRIES_SECTOR ||
    start + BigInt(sectors) > BigInt(last) + 1n ||
    header.readBigUInt64LE(40) < ENTRIES_SECTOR + sectors
  ) {
    return 'its list of partitions lies at an impossible place';
  }
  const entries = (await read(Number(start), sectors)).subarray(0, length);
  if (header.readUInt32LE(88) !== crc32(entries)) {
    return 'the checksum of its list of partitions is wrong';
  }
  return { header, entries };
}

export const wholeSectors = (bytes: number) => Math.ceil(bytes / SECTOR_BYTES);

/** Over the header with zeros where the checksum itself is. */
export function checksum(header: Buffer): number {
  const zeroed = Buffer.from(header);
  zeroed.writeUInt32LE(0, 16);
  return crc32(zeroed);
}

/** What a header says of itself, whatever its checksum is; null where a sector holds none. */
export interface HeaderClaims {
  guid: string;
  /** The sector of the other header. */
  other: bigint;
}

export function claimsOf(block: Buffer): HeaderClaims | null {
  if (block.toString('latin1', 0, 8) !== MAGIC) return null;
  const guid = block.toString('hex', GUID_AT, GUID_AT + GUID_BYTES);
  return { guid, other: block.readBigUInt64LE(OTHER_AT) };
}

/** The types of the partitions that the first sector names; empty when it is no MBR. */
export function mbrTypes(head: Buffer): number[] {
  if (head.readUInt16LE(MBR_END) !== MBR_SIGNATURE) return [];
  return [0, 1, 2, 3]
    .map((entry) => head[MBR_ENTRIES + 16 * entry + 4]!)
    .filter((type) => type !== 0);
}

/** The last sector of the disk that the entry of an MBR which stands for a GPT was made for; null for none. */
export function protectedTo(head: Buffer): number | null {
  if (head.readUInt16LE(MBR_END) !== MBR_SIGNATURE) return null;
  const at = [0, 1, 2, 3]
    .map((entry) => MBR_ENTRIES + 16 * entry)
    .find((entry) => head[entry + 4] === PROTECTIVE);
  // The entry begins at sector 1.
  return at === undefined ? null : head.readUInt32LE(at + 12);
}
