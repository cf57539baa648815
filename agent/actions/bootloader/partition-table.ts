import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import type { ActionContext } from '../../runner/action.ts';
import type { BlockDevice } from '../../target/block-device.ts';
import { signatureOf } from '../../target/offline/volumes.ts';
import { openDevice, readDevice } from '../filesystem/device-io.ts';

/** Layout of the GUID Partition Table: UEFI Specification 2.10, section 5.3. */
const SECTOR_BYTES = 512;
const MAGIC = 'EFI PART';
const HEADER_BYTES = 92;
const ENTRIES_SECTOR = 2;
const ENTRY_MIN_BYTES = 128;
const TABLE_MAX_BYTES = 1024 * 1024;
/** Partitions that are looked at for a file system. */
const LOOKS_MAX = 128;
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
  /** What was read on the disk, in sentences. */
  seen: string[];
}

/**
 * Null where the first table is valid, or where there is no valid copy of one for this very disk. A copy at the
 * end outlives a disk that is written anew from its start: it counts for nothing where the disk has a table of
 * the other kind (MBR) or is one file system or container, and where nothing at the start says that there was a
 * GPT, only when a file system or container lies where it says.
 */
export async function findDamagedTable(
  context: Pick<ActionContext, 'run' | 'signal'>,
  device: BlockDevice,
): Promise<DamagedTable | null> {
  const last = Math.floor(device.bytes / SECTOR_BYTES) - 1;
  if (last <= 2 * ENTRIES_SECTOR) return null;
  // What lies on its partitions, such as a RAID, may be open.
  const handle = await openDevice(device, 'look');
  try {
    const first = await readTable(handle, 1, last);
    if (typeof first !== 'string') return null;
    const copy = await readTable(handle, last, last);
    if (typeof copy === 'string') return null;
    const length = ENTRIES_SECTOR * SECTOR_BYTES + wholeSectors(copy.entries.length) * SECTOR_BYTES;
    const before = await readDevice(handle, Buffer.alloc(length), 0, length);
    const types = mbrTypes(before);
    if (types.some((type) => type !== PROTECTIVE)) return null;
    const whole = await signatureOf(context, device.path);
    if (whole.type !== null || whole.problem !== null) return null;
    const seen = [
      `Sector 1: ${first}.`,
      `Sector ${last}, the last: a header and a list of partitions with the right checksums.`,
    ];
    if (types.length === 0) {
      const found = await findFileSystem(context, device, copy);
      if (found === null) return null;
      seen.push('Sector 0: no partition of an MBR.', found);
    } else {
      seen.push('Sector 0: the entry of an MBR that stands for a GPT.');
    }
    return { device, before, after: withTable(before, copy, last), seen };
  } finally {
    await handle.close();
  }
}

/** The types of the partitions that the first sector names; empty when it is no MBR. */
function mbrTypes(head: Buffer): number[] {
  if (head.readUInt16LE(MBR_END) !== MBR_SIGNATURE) return [];
  return [0, 1, 2, 3]
    .map((entry) => head[MBR_ENTRIES + 16 * entry + 4]!)
    .filter((type) => type !== 0);
}

/** What lies on the first partition of the table that holds anything known, in a sentence. */
async function findFileSystem(
  context: Pick<ActionContext, 'run' | 'signal'>,
  device: BlockDevice,
  { header, entries }: Table,
): Promise<string | null> {
  const step = header.readUInt32LE(84);
  let looks = 0;
  for (let at = 0; at + step <= entries.length && looks < LOOKS_MAX; at += step) {
    const entry = entries.subarray(at, at + step);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const [from, to] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))];
    if (from > to || (to + 1) * SECTOR_BYTES > device.bytes) continue;
    looks++;
    const stretch = { startBytes: from * SECTOR_BYTES, bytes: (to - from + 1) * SECTOR_BYTES };
    const { type } = await signatureOf(context, device.path, stretch);
    if (type !== null) return `Sector ${from}, where a partition begins by the copy: ${type}.`;
  }
  return null;
}

interface Table {
  header: Buffer;
  entries: Buffer;
}

/** What is wrong, in words, unless both checksums are right, and the header says that it lies here. */
async function readTable(disk: FileHandle, sector: number, last: number): Promise<Table | string> {
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

/** The one that is there already stays. */
function protect(head: Buffer, last: number): void {
  if (mbrTypes(head).includes(PROTECTIVE)) return;
  head.fill(0, MBR_ENTRIES, MBR_END);
  head.set([0, 0, 2, 0, PROTECTIVE, 0xff, 0xff, 0xff], MBR_ENTRIES);
  head.writeUInt32LE(1, MBR_ENTRIES + 8);
  head.writeUInt32LE(Math.min(last, 0xff_ff_ff_ff), MBR_ENTRIES + 12);
  head.writeUInt16LE(MBR_SIGNATURE, MBR_END);
}
