import type { FileHandle } from 'node:fs/promises';
import { claimsOf, protectedTo, readTable, SECTOR_BYTES, type Table } from './gpt-table.ts';

/** GPT types by their bytes on a disk: the EFI partition, and that of GRUB's core image. */
const ESP = '28732ac11ff8d211ba4b00a0c93ec93b';
const BIOS_BOOT = '4861682149646f6e744e656564454649';
/** What programs write that do not say how large the disk is. */
const ANY_SIZE = 0xff_ff_ff_ff;

/** Something known where a partition begins by a table. */
export interface PartitionContent {
  /** Its first sector. */
  from: number;
  /** The type of the partition, as its bytes are on the disk. */
  kind: string;
  /** As blkid(8) names what lies there. */
  type: string;
}

export interface TwoTables {
  /** The start of the disk, with a table that is damaged. */
  head: Buffer;
  /** The valid table in the last sector. */
  copy: Table;
  last: number;
  found: readonly PartitionContent[];
}

/**
 * Why the table at the end of a disk is not the copy of the damaged one at its start, in words; null when nothing
 * says so. Who lays an image with partitions over the start of a disk leaves the old copy at its end: to write
 * that over a damaged table of the image would cut the image by lines of a disk that is no more.
 */
export async function findForeignTable(
  disk: FileHandle,
  { head, copy, last, found }: TwoTables,
): Promise<string | null> {
  const own = claimsOf(copy.header)!.guid;
  const first = claimsOf(head.subarray(SECTOR_BYTES, 2 * SECTOR_BYTES));
  const size = protectedTo(head);
  // An image brings its own copy along, which its first header and its MBR lead to.
  for (const sector of new Set([Number(first?.other ?? 0n), size ?? 0])) {
    if (!Number.isSafeInteger(sector) || sector <= 1 || sector >= last) continue;
    const other = await readTable(disk, sector, last);
    if (typeof other === 'string' || claimsOf(other.header)!.guid === own) continue;
    return `the copy of another table, that of an image which was laid over the start of the disk, lies in sector ${sector}`;
  }
  if (first !== null && first.guid !== own) {
    return 'the header in sector 1 names another disk than the copy does';
  }
  if (size !== null && size !== ANY_SIZE && size !== last) {
    return `sector 0 belongs to a disk that ends at sector ${size}, and this one ends at ${last}`;
  }
  const other = found.find(
    ({ kind, type }) => kind === BIOS_BOOT || (kind === ESP && type !== 'vfat'),
  );
  if (other === undefined) return null;
  const what = other.kind === ESP ? 'an EFI partition' : 'the core image of GRUB';
  return `by the copy ${what} begins at sector ${other.from}, and ${other.type} lies there`;
}
