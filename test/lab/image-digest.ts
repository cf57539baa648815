import { createHash, hash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';

const BLOCK_BYTES = 1 << 20;

/** A digest over all bytes of an image, in hexadecimal. */
export async function imageDigest(image: string): Promise<string> {
  return rangeDigest(image, 0, (await stat(image)).size);
}

/**
 * The SHA-256 of the list of the SHA-256 of each MiB, in hexadecimal. Blocks of zeros, of which a disk has
 * most, are known without being hashed.
 */
export async function rangeDigest(image: string, offset: number, length: number): Promise<string> {
  const whole = createHash('sha256');
  const block = Buffer.alloc(BLOCK_BYTES);
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const file = await open(image);
  try {
    for (let at = 0; at < length; at += BLOCK_BYTES) {
      const wanted = Math.min(BLOCK_BYTES, length - at);
      const { bytesRead } = await file.read(block, 0, wanted, offset + at);
      if (bytesRead !== wanted)
        throw new Error(`${image} is shorter than ${offset + length} bytes`);
      const read = block.subarray(0, wanted);
      const isZero = read.equals(zeros.subarray(0, wanted));
      whole.update(isZero ? `${wanted} zeros` : hash('sha256', read));
    }
    return whole.digest('hex');
  } finally {
    await file.close();
  }
}
