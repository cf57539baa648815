import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { crc32c } from '../crc32c.ts';

const SUPERBLOCK = 1024;

export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

export async function readBytes(path: string, offset: number, bytes: number): Promise<Buffer> {
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(bytes);
    await file.read(buffer, 0, bytes, offset);
    return buffer;
  } finally {
    await file.close();
  }
}

export async function patchFile(path: string, offset: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, offset);
  } finally {
    await file.close();
  }
}

/** Sets bits of a 32-bit field of the superblock, and makes its checksum right again. */
export async function setSuperblockBits(image: string, at: number, bits: number): Promise<void> {
  const block = await readBytes(image, SUPERBLOCK, 1024);
  block.writeUInt32LE((block.readUInt32LE(at) | bits) >>> 0, at);
  block.writeUInt32LE(crc32c(block.subarray(0, 0x3fc)), 0x3fc);
  await patchFile(image, SUPERBLOCK, block);
}
