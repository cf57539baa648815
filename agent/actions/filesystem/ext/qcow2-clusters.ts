import { open, type FileHandle } from 'node:fs/promises';

/** One saved block of a metadata image. */
export interface Cluster {
  offset: number;
  bytes: Buffer;
}

const MAGIC = 0x514649fb;
/** Flags in the uppermost bits of table entries; the rest is an offset in the file. */
const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;

/**
 * The blocks a qcow2 file of e2image holds, in order. Only what e2image writes is read: one level of
 * indirection, no compression, no backing file. Blocks that were all zero are not in it.
 */
export async function* readClusters(path: string): AsyncGenerator<Cluster> {
  const file = await open(path);
  try {
    const header = await readAt(file, 0, 72);
    if (header.readUInt32BE(0) !== MAGIC) throw new Error(`${path} is no qcow2 file`);
    const clusterBytes = 2 ** header.readUInt32BE(20);
    const tables = header.readUInt32BE(36);
    const root = await readAt(file, Number(header.readBigUInt64BE(40)), tables * 8);
    const perTable = clusterBytes / 8;
    for (let table = 0; table < tables; table++) {
      const tableOffset = Number(root.readBigUInt64BE(table * 8) & OFFSET_MASK);
      if (tableOffset === 0) continue;
      const entries = await readAt(file, tableOffset, clusterBytes);
      for (let entry = 0; entry < perTable; entry++) {
        const at = Number(entries.readBigUInt64BE(entry * 8) & OFFSET_MASK);
        if (at === 0) continue;
        const offset = (table * perTable + entry) * clusterBytes;
        yield { offset, bytes: await readAt(file, at, clusterBytes) };
      }
    }
  } finally {
    await file.close();
  }
}

async function readAt(file: FileHandle, offset: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  const { bytesRead } = await file.read(buffer, 0, bytes, offset);
  if (bytesRead !== bytes) throw new Error('the metadata image is not whole');
  return buffer;
}
