import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { BlockDevice } from '../../target/block-device.ts';
import { openDevice, readDevice } from '../filesystem/device-io.ts';

/** Layout of the GUID Partition Table: UEFI Specification 2.10, section 5.3. */
const SECTOR_BYTES = 512;
const MAGIC = 'EFI PART';
const HEADER_BYTES = 92;
const ENTRIES_SECTOR = 2;
const TABLE_MAX_BYTES = 1024 * 1024;
/** The list of partitions in the first sector, and the type that says "GPT" to programs which know only it. */
const MBR_ENTRIES = 446;
const MBR_END = 510;
const MBR_SIGNATURE = 0xaa55;
const PROTECTIVE = 0xee;

/** A disk whose first partition table is not valid while its copy at the end of the disk is. */
export interface DamagedTable {
  device: BlockDevice;
  /** The start of the disk as it is. */
  before: Buffer;
  /** The same stretch with the table that the copy gives; boot code stays. */
  after: Buffer;
}

/** Null where the first table is valid, or where there is no valid copy of one for this very disk. */
export async function findDamagedTable(device: BlockDevice): Promise<DamagedTable | null> {
  const last = Math.floor(device.bytes / SECTOR_BYTES) - 1;
  if (last <= 2 * ENTRIES_SECTOR) return null;
  // What lies on its partitions, such as a RAID, may be open.
  const handle = await openDevice(device, 'look');
  try {
    if ((await readTable(handle, 1, last)) !== null) return null;
    const copy = await readTable(handle, last, last);
    if (copy === null) return null;
    const length = ENTRIES_SECTOR * SECTOR_BYTES + wholeSectors(copy.entries.length) * SECTOR_BYTES;
    const before = await readDevice(handle, Buffer.alloc(length), 0, length);
    return { device, before, after: withTable(before, copy, last) };
  } finally {
    await handle.close();
  }
}

interface Table {
  header: Buffer;
  entries: Buffer;
}

/** Null unless both checksums are right, and the header says that it lies here. */
async function readTable(disk: FileHandle, sector: number, last: number): Promise<Table | null> {
  const read = (start: number, sectors: number) =>
    readDevice(
      disk,
      Buffer.alloc(sectors * SECTOR_BYTES),
      start * SECTOR_BYTES,
      sectors * SECTOR_BYTES,
    );
  const block = await read(sector, 1);
  if (block.toString('latin1', 0, 8) !== MAGIC) return null;
  const bytes = block.readUInt32LE(12);
  if (bytes < HEADER_BYTES || bytes > SECTOR_BYTES) return null;
  const header = Buffer.from(block.subarray(0, bytes));
  if (header.readUInt32LE(16) !== checksum(header)) return null;
  if (header.readBigUInt64LE(24) !== BigInt(sector)) return null;
  const length = header.readUInt32LE(80) * header.readUInt32LE(84);
  if (length === 0 || length > TABLE_MAX_BYTES) return null;
  const sectors = wholeSectors(length);
  const start = header.readBigUInt64LE(72);
  if (start < ENTRIES_SECTOR || start + BigInt(sectors) > BigInt(last) + 1n) return null;
  // The first table has to end where the partitions may begin.
  if (header.readBigUInt64LE(40) < ENTRIES_SECTOR + sectors) return null;
  const entries = (await read(Number(start), sectors)).subarray(0, length);
  return header.readUInt32LE(88) === crc32(entries) ? { header, entries } : null;
}

const wholeSectors = (bytes: number) => Math.ceil(bytes / SECTOR_BYTES);

/** Over the header with zeros where the checksum itself is. */
function checksum(header: Buffer): number {
  const zeroed = Buffer.from(header);
  zeroed.writeUInt32LE(0, 16);
  return crc32(zeroed);
}

function withTable(head: Buffer, { header: copy, entries }: Table, last: number): Buffer {
  const made = Buffer.from(head);
  const header = Buffer.from(copy);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(last), 32);
  header.writeBigUInt64LE(BigInt(ENTRIES_SECTOR), 72);
  header.writeUInt32LE(checksum(header), 16);
  made.fill(0, SECTOR_BYTES, 2 * SECTOR_BYTES);
  header.copy(made, SECTOR_BYTES);
  entries.copy(made, ENTRIES_SECTOR * SECTOR_BYTES);
  protect(made, last);
  return made;
}

/** One that is there already stays, hybrid or not. */
function protect(head: Buffer, last: number): void {
  const types = [0, 1, 2, 3].map((entry) => head[MBR_ENTRIES + 16 * entry + 4]);
  if (head.readUInt16LE(MBR_END) === MBR_SIGNATURE && types.includes(PROTECTIVE)) return;
  head.fill(0, MBR_ENTRIES, MBR_END);
  head.set([0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff], MBR_ENTRIES);
  head.writeUInt32LE(1, MBR_ENTRIES + 8);
  head.writeUInt32LE(Math.min(last, 0xff_ff_ff_ff), MBR_ENTRIES + 12);
  head.writeUInt16LE(MBR_SIGNATURE, MBR_END);
}
