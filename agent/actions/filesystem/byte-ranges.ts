/** A stretch of bytes of a device: where it starts and how long it is. */
export type ByteRange = readonly [start: number, bytes: number];

/** Widens ranges to whole units, clips them to the device, sorts them and joins what touches. */
export function normalizeRanges(
  ranges: readonly ByteRange[],
  unit: number,
  deviceBytes: number,
): ByteRange[] {
  const whole = ranges
    .filter(([, bytes]) => bytes > 0)
    .map(([start, bytes]): [number, number] => [
      Math.floor(start / unit) * unit,
      Math.min(Math.ceil((start + bytes) / unit) * unit, deviceBytes),
    ])
    .filter(([start, end]) => start < end)
    .toSorted(([one], [other]) => one - other);
  const joined: [number, number][] = [];
  for (const [start, end] of whole) {
    const last = joined.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  return joined.map(([start, end]) => [start, end - start]);
}

/** What of `ranges` is not in `others`. Both normalized. */
export function subtractRanges(
  ranges: readonly ByteRange[],
  others: readonly ByteRange[],
): ByteRange[] {
  const left: ByteRange[] = [];
  let next = 0;
  for (const [start, bytes] of ranges) {
    const end = start + bytes;
    let at = start;
    while (next < others.length && others[next]![0] + others[next]![1] <= at) next++;
    for (let index = next; index < others.length && others[index]![0] < end; index++) {
      const [otherStart, otherBytes] = others[index]!;
      if (otherStart > at) left.push([at, otherStart - at]);
      at = Math.max(at, otherStart + otherBytes);
    }
    if (at < end) left.push([at, end - at]);
  }
  return left;
}

export function totalBytes(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, [, bytes]) => sum + bytes, 0);
}

/** Pieces of at most `most` bytes, in order. */
export function* pieces(ranges: Iterable<ByteRange>, most: number): Generator<ByteRange> {
  for (const [start, bytes] of ranges) {
    for (let at = 0; at < bytes; at += most) yield [start + at, Math.min(most, bytes - at)];
  }
}
