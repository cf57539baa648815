import { createHash } from 'node:crypto';
import type { Queries } from '../database/database.ts';
import { readChunks } from './log-store.ts';
import type { LogPosition } from './log-store.ts';

const CHUNKS_AT_ONCE = 32;

/**
 * `sha256:<hex>` of the log as it is stored, read back; null when it is not `length` contiguous bytes.
 * Holds a few chunks at a time, whatever the length.
 */
export async function digestStoredLog(
  queries: Queries,
  log: Pick<LogPosition, 'jobId' | 'day'>,
  length: number,
): Promise<string | null> {
  const hash = createHash('sha256');
  let offset = 0;
  while (offset < length) {
    const chunks = await readChunks(queries, log, offset, CHUNKS_AT_ONCE);
    if (chunks.length === 0) return null;
    for (const chunk of chunks) {
      if (chunk.offset !== offset) return null;
      hash.update(chunk.bytes);
      offset += chunk.bytes.length;
    }
  }
  return offset === length ? digestText(hash.digest()) : null;
}

export function digestBytes(pieces: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const piece of pieces) hash.update(piece);
  return digestText(hash.digest());
}

function digestText(hash: Buffer): string {
  return `sha256:${hash.toString('hex')}`;
}
