import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** SHA-256 over all bytes of an image, in hexadecimal. */
export async function imageDigest(image: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(image, { highWaterMark: 1 << 20 }), hash);
  return hash.digest('hex');
}
