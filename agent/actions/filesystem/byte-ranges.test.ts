import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  normalizeRanges,
  pieces,
  subtractRanges,
  totalBytes,
  type ByteRange,
} from './byte-ranges.ts';

const DEVICE = 200;
const ranges = fc.array(fc.tuple(fc.nat(DEVICE), fc.nat(30)), { maxLength: 12 });

function covered(list: readonly ByteRange[]): Set<number> {
  const bytes = new Set<number>();
  for (const [start, length] of list) for (let at = 0; at < length; at++) bytes.add(start + at);
  return bytes;
}

describe('stretches of a device', () => {
  it('normalized cover the same bytes, widened to units, in order and apart', () => {
    fc.assert(
      fc.property(ranges, fc.constantFrom(1, 4, 16), (list, unit) => {
        const normal = normalizeRanges(list, unit, DEVICE);
        const expected = new Set<number>();
        for (const byte of covered(list)) {
          const start = Math.floor(byte / unit) * unit;
          for (let at = start; at < Math.min(start + unit, DEVICE); at++) expected.add(at);
        }
        expect(covered(normal)).toEqual(expected);
        expect(totalBytes(normal)).toBe(expected.size);
        for (let index = 1; index < normal.length; index++) {
          expect(normal[index]![0]).toBeGreaterThan(normal[index - 1]![0] + normal[index - 1]![1]);
        }
      }),
    );
  });

  it('subtracted leave exactly the bytes that are only in the first', () => {
    fc.assert(
      fc.property(ranges, ranges, (one, other) => {
        const first = normalizeRanges(one, 1, DEVICE);
        const second = normalizeRanges(other, 1, DEVICE);
        const expected = covered(first);
        for (const byte of covered(second)) expected.delete(byte);
        const left = subtractRanges(first, second);
        expect(covered(left)).toEqual(expected);
        expect(totalBytes(left)).toBe(expected.size);
      }),
    );
  });

  it('are cut into pieces without losing or doubling a byte', () => {
    fc.assert(
      fc.property(ranges, fc.integer({ min: 1, max: 9 }), (list, most) => {
        const normal = normalizeRanges(list, 1, DEVICE);
        const cut = [...pieces(normal, most)];
        expect(covered(cut)).toEqual(covered(normal));
        expect(totalBytes(cut)).toBe(totalBytes(normal));
        expect(cut.every(([, bytes]) => bytes <= most)).toBe(true);
      }),
    );
  });
});
