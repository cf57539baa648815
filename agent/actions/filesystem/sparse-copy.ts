import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { BlockDevice } from '../../target/block-device.ts';
import { readDevice } from './device-io.ts';

const PIECE_BYTES = 1024 * 1024;
const HOLE_BYTES = 4096;
const HOLE = Buffer.alloc(HOLE_BYTES);

/**
 * Copies a whole device into a new file, leaving out what is zero. Returns the digest of all its bytes, and
 * how many were not zero. Throws ActionError `no_scratch_space` when there are more than `maxBytes`.
 */
export async function copySparsely(
  context: Pick<ActionContext, 'signal' | 'progress'>,
  device: BlockDevice,
  source: FileHandle,
  path: string,
  maxBytes: number,
): Promise<{ digest: string; bytes: number }> {
  const hash = createHash('sha256');
  const copy = await open(path, 'wx', 0o600);
  try {
    await copy.truncate(device.bytes);
    let bytes = 0;
    const buffer = Buffer.alloc(PIECE_BYTES);
    for (let start = 0; start < device.bytes; start += PIECE_BYTES) {
      if (context.signal.aborted) throw new ActionError('stopped', 'stopped while copying');
      const length = Math.min(PIECE_BYTES, device.bytes - start);
      const piece = await readDevice(source, buffer, start, length);
      hash.update(piece);
      for (let at = 0; at < length; at += HOLE_BYTES) {
        const block = piece.subarray(at, at + HOLE_BYTES);
        if (block.equals(HOLE.subarray(0, block.length))) continue;
        bytes += block.length;
        if (bytes > maxBytes) {
          const need = `a copy of ${device.path} needs more than the ${maxBytes} bytes there are`;
          throw new ActionError('no_scratch_space', need);
        }
        await copy.write(block, 0, block.length, start + at);
      }
      const percent = Math.floor((100 * (start + length)) / device.bytes);
      context.progress('copying', percent, `copying: ${percent} %`);
    }
    return { digest: `sha256:${hash.digest('hex')}`, bytes };
  } finally {
    await copy.close();
  }
}
