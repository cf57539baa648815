import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { attemptMs, BACKOFF_FIRST_MS, BACKOFF_LAST_MS, backoffMs } from './backoff.ts';

const failures = fc.integer({ min: 1, max: 100_000 });
const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe('backoffMs', () => {
  it('stays within a window that doubles from 0.5 s and never passes 30 s', () => {
    fc.assert(
      fc.property(failures, random, (count, chance) => {
        const delay = backoffMs(count, chance);
        expect(delay).toBeGreaterThanOrEqual(0);
        expect(delay).toBeLessThan(BACKOFF_LAST_MS);
        expect(delay).toBeLessThan(BACKOFF_FIRST_MS * 2 ** Math.min(count - 1, 10));
      }),
    );
  });

  it('uses the whole window, so that a fleet spreads over it', () => {
    expect(backoffMs(4, 0)).toBe(0);
    expect(backoffMs(4, 0.5)).toBe(2_000);
    expect(backoffMs(4, 0.9999)).toBeGreaterThan(3_990);
    expect(backoffMs(50, 0.5)).toBe(15_000);
  });
});

describe('attemptMs', () => {
  it('grows from 3 s to 15 s', () => {
    expect([0, 1, 2, 3, 1000].map(attemptMs)).toEqual([3_000, 6_000, 12_000, 15_000, 15_000]);
  });
});
