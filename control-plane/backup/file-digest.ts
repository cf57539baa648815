import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { BackupDamagedError } from './frames.ts';

/** `sha256:` and 64 hexadecimal digits, as `intervene backup` prints it. */
export const FILE_DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Thrown when a file is not the one whose digest was given. */
export class DigestMismatchError extends BackupDamagedError {
  override name = 'DigestMismatchError';
}

/** The bytes of a file. Throws DigestMismatchError at their end; null compares nothing. */
export async function* readFileOf(digest: string | null, file: string): AsyncGenerator<Buffer> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) {
    hash.update(chunk as Buffer);
    yield chunk as Buffer;
  }
  const found = `sha256:${hash.digest('hex')}`;
  if (digest !== null && found !== digest) {
    throw new DigestMismatchError(`it has the digest ${found}, not ${digest}`);
  }
}

/** Throws DigestMismatchError. Whoever reads the file later compares again: it may be another one by then. */
export async function requireDigest(file: string, digest: string): Promise<void> {
  for await (const chunk of readFileOf(digest, file)) void chunk;
}
