import { describe, expect, it } from 'vitest';
import { faults } from './faults/index.ts';

describe('the table of faults', () => {
  it('has each of the 93 once', () => {
    const areas = { P: 11, N: 15, R: 12, B: 18, F: 20, S: 6, D: 5, W: 6 };
    const ids = Object.entries(areas).flatMap(([area, count]) =>
      Array.from({ length: count }, (_, i) => `${area}${String(i + 1).padStart(2, '0')}`),
    );
    expect(faults.map(({ id }) => id)).toEqual(ids);
  });
});
