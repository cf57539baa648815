import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { screenSize } from './raw-screen.ts';

const stream = (size: { rows?: number; columns?: number }) =>
  Object.assign(new PassThrough(), size);

describe('the size of a screen', () => {
  it('is what the terminal says', () => {
    expect(screenSize(stream({ rows: 50, columns: 132 }))).toEqual({ rows: 50, columns: 132 });
  });

  it('is the usual one where the terminal says 0, or nothing', () => {
    expect(screenSize(stream({ rows: 0, columns: 0 }))).toEqual({ rows: 24, columns: 80 });
    expect(screenSize(stream({}))).toEqual({ rows: 24, columns: 80 });
  });

  it('is bounded', () => {
    expect(screenSize(stream({ rows: 65535, columns: 1 }))).toEqual({ rows: 2000, columns: 1 });
  });
});
