import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { normalizeRanges, pieces, totalBytes, type ByteRange } from '../byte-ranges.ts';
import { readDevice } from '../device-io.ts';

const PIECE_BYTES = 1024 * 1024;
const LISTED_RANGES = 100;

/**
 * Bytes of a device that are to become others. All of them are known before the first is written, so that
 * what is done is what was shown, and a write that was cut off is told from a change by somebody else.
 */
export interface Patch {
  /** Normalized. */
  ranges: readonly ByteRange[];
  /** The new bytes of a stretch within `ranges`. */
  contentAt(offset: number, bytes: number): Promise<Buffer>;
}

/** One stretch that is given whole. */
export function patchOf(parts: readonly { offset: number; bytes: Buffer }[]): Patch {
  const sorted = parts.toSorted((one, other) => one.offset - other.offset);
  return {
    ranges: sorted.map(({ offset, bytes }): ByteRange => [offset, bytes.length]),
    async contentAt(offset, bytes) {
      const part = sorted.find(
        (one) => one.offset <= offset && offset + bytes <= one.offset + one.bytes.length,
      )!;
      return part.bytes.subarray(offset - part.offset, offset - part.offset + bytes);
    },
  };
}

/** What a repaired copy has otherwise than the device, in whole units, looked for in some stretches only. */
export async function patchFromCopy(
  context: Pick<ActionContext, 'signal' | 'progress'>,
  device: FileHandle,
  copy: FileHandle,
  within: readonly ByteRange[],
  unit: number,
): Promise<Patch> {
  const found: ByteRange[] = [];
  const [one, other] = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)];
  const total = totalBytes(within);
  let done = 0;
  for (const [start, length] of pieces(within, PIECE_BYTES)) {
    if (context.signal.aborted) throw new ActionError('stopped', 'stopped while comparing');
    const before = await readDevice(device, one, start, length);
    const after = await readDevice(copy, other, start, length);
    done += length;
    context.progress('comparing', Math.floor((100 * done) / total), 'comparing the copy');
    if (before.equals(after)) continue;
    for (let at = 0; at < length; at += unit) {
      const end = Math.min(at + unit, length);
      if (!before.subarray(at, end).equals(after.subarray(at, end))) {
        found.push([start + at, end - at]);
      }
    }
  }
  return {
    ranges: normalizeRanges(found, 1, Number.MAX_SAFE_INTEGER),
    contentAt: (offset, bytes) => readDevice(copy, Buffer.alloc(bytes), offset, bytes),
  };
}

/** For the plan: where something is written, whole or by its digest. */
export function describeRanges(ranges: readonly ByteRange[]): string {
  const lines = ranges.map(([start, bytes]) => `bytes ${start} to ${start + bytes - 1}`);
  const listed = lines.slice(0, LISTED_RANGES);
  if (listed.length < lines.length) {
    const digest = createHash('sha256').update(lines.join('\n')).digest('hex');
    listed.push(`and ${lines.length - listed.length} more; the list has the digest ${digest}`);
  }
  return listed.join('\n');
}
