import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { pieces, type ByteRange } from './byte-ranges.ts';
import { readDevice } from './device-io.ts';

/** Devices up to here are digested whole before a repair: a minute or less on most disks. */
export const WHOLE_DIGEST_MAX_BYTES = 4 * 1024 ** 3;

const PIECE_BYTES = 1024 * 1024;

export interface DeviceDigests {
  /** SHA-256 of all bytes, as sha256sum(1) tells it. */
  whole: string;
  /** SHA-256 of the bytes outside `ranges`. */
  outside: string;
}

/** Reads a device once and digests it whole, and without some stretches (normalized). */
export async function digestDevice(
  context: Pick<ActionContext, 'signal' | 'progress'>,
  device: FileHandle,
  deviceBytes: number,
  ranges: readonly ByteRange[],
): Promise<DeviceDigests> {
  const whole = createHash('sha256');
  const outside = createHash('sha256');
  const buffer = Buffer.alloc(PIECE_BYTES);
  let next = 0;
  for (let start = 0; start < deviceBytes; start += PIECE_BYTES) {
    if (context.signal.aborted) throw new ActionError('stopped', 'stopped while digesting');
    const length = Math.min(PIECE_BYTES, deviceBytes - start);
    const piece = await readDevice(device, buffer, start, length);
    whole.update(piece);
    let at = 0;
    for (; next < ranges.length && ranges[next]![0] < start + length; next++) {
      const [rangeStart, rangeBytes] = ranges[next]!;
      if (rangeStart - start > at) outside.update(piece.subarray(at, rangeStart - start));
      at = Math.min(length, Math.max(at, rangeStart + rangeBytes - start));
      if (rangeStart + rangeBytes > start + length) break;
    }
    outside.update(piece.subarray(at));
    const percent = Math.floor((100 * (start + length)) / deviceBytes);
    context.progress('digesting', percent, `digesting: ${percent} %`);
  }
  return { whole: `sha256:${whole.digest('hex')}`, outside: `sha256:${outside.digest('hex')}` };
}

/** SHA-256 of some stretches of a device, one after the other. */
export async function digestRanges(
  context: Pick<ActionContext, 'signal'>,
  device: FileHandle,
  ranges: readonly ByteRange[],
): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(PIECE_BYTES);
  for (const [start, length] of pieces(ranges, PIECE_BYTES)) {
    if (context.signal.aborted) throw new ActionError('stopped', 'stopped while digesting');
    hash.update(await readDevice(device, buffer, start, length));
  }
  return `sha256:${hash.digest('hex')}`;
}
