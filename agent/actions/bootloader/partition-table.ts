import type { ActionContext } from '../../runner/action.ts';
import type { BlockDevice } from '../../target/block-device.ts';
import { signatureOf } from '../../target/offline/volumes.ts';
import { openDevice, readDevice } from '../filesystem/device-io.ts';
import { findForeignTable, type PartitionContent } from './foreign-table.ts';
import {
  checksum,
  ENTRIES_SECTOR,
  MBR_END,
  MBR_ENTRIES,
  MBR_SIGNATURE,
  mbrTypes,
  PROTECTIVE,
  readTable,
  SECTOR_BYTES,
  wholeSectors,
  type Table,
} from './gpt-table.ts';

/** Partitions that are looked at for a file system. */
const LOOKS_MAX = 128;

/** A disk whose first partition table is not valid while its copy at the end of the disk is. */
export interface DamagedTable {
  device: BlockDevice;
  /** The start of the disk as it is. */
  before: Buffer;
  /** The same stretch with the table that the copy gives; boot code stays. */
  after: Buffer;
  /** What was read on the disk, in sentences. */
  seen: string[];
  /** Why the copy is that of another table than the damaged one, in words; null when nothing says so. */
  foreign: string | null;
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
    const found = await findFileSystems(context, device, copy);
    if (types.length === 0) {
      if (found.length === 0) return null;
      seen.push('Sector 0: no partition of an MBR.');
    } else {
      seen.push('Sector 0: the entry of an MBR that stands for a GPT.');
    }
    const [one] = found;
    if (one !== undefined) {
      seen.push(`Sector ${one.from}, where a partition begins by the copy: ${one.type}.`);
    }
    const foreign = await findForeignTable(handle, { head: before, copy, last, found });
    return { device, before, after: withTable(before, copy, last), seen, foreign };
  } finally {
    await handle.close();
  }
}

/** What lies on the partitions of a table, as far as anything known does. */
async function findFileSystems(
  context: Pick<ActionContext, 'run' | 'signal'>,
  device: BlockDevice,
  { header, entries }: Table,
): Promise<PartitionContent[]> {
  const step = header.readUInt32LE(84);
  const found: PartitionContent[] = [];
  let looks = 0;
  for (let at = 0; at + step <= entries.length && looks < LOOKS_MAX; at += step) {
    const entry = entries.subarray(at, at + step);
    if (entry.subarray(0, 16).every((byte) => byte === 0)) continue;
    const [from, to] = [Number(entry.readBigUInt64LE(32)), Number(entry.readBigUInt64LE(40))];
    if (from > to || (to + 1) * SECTOR_BYTES > device.bytes) continue;
    looks++;
    const stretch = { startBytes: from * SECTOR_BYTES, bytes: (to - from + 1) * SECTOR_BYTES };
    const { type } = await signatureOf(context, device.path, stretch);
    if (type !== null) found.push({ from, kind: entry.toString('hex', 0, 16), type });
  }
  return found;
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
