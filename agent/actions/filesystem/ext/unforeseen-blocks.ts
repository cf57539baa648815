import { open } from 'node:fs/promises';
import type { SavedBackup } from '../../../runner/action.ts';
import { normalizeRanges, subtractRanges, type ByteRange } from '../byte-ranges.ts';
import { readDevice } from '../device-io.ts';
import { SavedBlocks } from '../saved-blocks.ts';
import { readUndoFile, type UndoEntry } from './undo-file.ts';

/**
 * Saves in a file of its own what e2fsck overwrote outside of `foreseen`, taken from its undo file. Null when
 * there is nothing. Of an undo file that was cut off, what is whole counts.
 */
export async function saveUnforeseen(
  path: string,
  undoFile: string,
  foreseen: readonly ByteRange[],
  deviceBytes: number,
): Promise<SavedBackup | null> {
  const index = await readUndoFile(undoFile);
  if (index === null) return null;
  const { entries } = index;
  const all = normalizeRanges(
    entries.map((entry) => [entry.deviceOffset, entry.bytes]),
    1,
    deviceBytes,
  );
  const ranges = subtractRanges(all, foreseen);
  if (ranges.length === 0) return null;
  const file = await open(undoFile);
  try {
    return await SavedBlocks.save(path, ranges, async (offset, bytes) => {
      const buffer = Buffer.alloc(bytes);
      for (const { entry, start, end } of parts(entries, offset, offset + bytes)) {
        const part = buffer.subarray(start - offset, end - offset);
        await readDevice(file, part, entry.fileOffset + start - entry.deviceOffset, part.length);
      }
      return buffer;
    });
  } finally {
    await file.close();
  }
}

/** The entries that have bytes of a stretch, and which. */
function parts(entries: readonly UndoEntry[], from: number, to: number) {
  return entries
    .map((entry) => ({
      entry,
      start: Math.max(from, entry.deviceOffset),
      end: Math.min(to, entry.deviceOffset + entry.bytes),
    }))
    .filter(({ start, end }) => start < end);
}
