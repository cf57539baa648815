import { must } from '../harness/process.ts';

/** Where a partition lies in its image, in bytes. */
export interface Partition {
  number: number;
  offset: number;
  size: number;
  /** GUID of the type on GPT, hexadecimal number on MBR; lower case. */
  type: string;
  name: string;
}

const SECTOR_BYTES = 512;

interface SfdiskTable {
  partitiontable: {
    partitions: { node: string; start: number; size: number; type: string; name?: string }[];
  };
}

/** The partitions of an image as sfdisk(8) sees them. */
export async function partitionsOf(image: string): Promise<Partition[]> {
  const { partitiontable } = JSON.parse(await must(['sfdisk', '--json', image])) as SfdiskTable;
  return partitiontable.partitions.map((entry) => ({
    number: Number(/\d+$/.exec(entry.node)![0]),
    offset: entry.start * SECTOR_BYTES,
    size: entry.size * SECTOR_BYTES,
    type: entry.type.toLowerCase(),
    name: entry.name ?? '',
  }));
}
