import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory, writeDurably } from '../../connection/durable-file.ts';
import type { SavedBackup } from '../../runner/action.ts';

const PIECE_BYTES = 1024 * 1024;

/** Replaces a file by new content, all or nothing, and says what is on disk when this returns. */
export async function writeBackup(path: string, content: string): Promise<SavedBackup> {
  const bytes = Buffer.from(content);
  await writeDurably(path, bytes);
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return { path, bytes: bytes.length, digest };
}

/** Makes a file that another program wrote durable, and digests it. */
export async function syncAndDigest(path: string): Promise<SavedBackup> {
  const file = await open(path);
  try {
    await file.sync();
    await syncDirectory(dirname(path));
    const hash = createHash('sha256');
    const buffer = Buffer.alloc(PIECE_BYTES);
    let bytes = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, PIECE_BYTES, bytes);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      bytes += bytesRead;
    }
    return { path, bytes, digest: `sha256:${hash.digest('hex')}` };
  } finally {
    await file.close();
  }
}
