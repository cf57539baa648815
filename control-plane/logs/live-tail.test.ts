import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LiveTail } from './live-tail.ts';

const KEPT = 256 * 1024;

describe('live tail', () => {
  it('gives what it has from any offset within, and nothing outside', () => {
    const tail = new LiveTail(10);
    expect(tail.read(10)).toEqual([]);
    tail.append(Buffer.from('abc'));
    tail.append(Buffer.from('def'));
    expect(Buffer.concat(tail.read(10)).toString()).toBe('abcdef');
    expect(Buffer.concat(tail.read(12)).toString()).toBe('cdef');
    expect(Buffer.concat(tail.read(13)).toString()).toBe('def');
    expect(tail.read(16)).toEqual([]);
    expect(tail.read(9)).toEqual([]);
  });

  it('keeps what is not committed whatever its size, and of the rest only the newest', () => {
    const tail = new LiveTail(0);
    const piece = Buffer.alloc(64 * 1024);
    for (let count = 0; count < 20; count++) tail.append(piece);
    expect(tail.start).toBe(0);
    tail.commit(10 * piece.length);
    expect(tail.start).toBe(10 * piece.length);
    tail.commit(20 * piece.length);
    expect(tail.end - tail.start).toBe(KEPT);
  });

  it('is at any time a window on the one log that was appended', () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant('append' as const), size: fc.integer({ min: 1, max: 9_000 }) }),
      fc.record({
        type: fc.constant('commit' as const),
        part: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
      fc.record({ type: fc.constant('forget' as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(), (steps, probe) => {
        const tail = new LiveTail(0);
        let committed = 0;
        let end = 0;
        // Byte n of the log has the value n modulo 251.
        const bytes = (from: number, size: number) =>
          Buffer.from(Array.from({ length: size }, (_, at) => (from + at) % 251));
        for (const one of steps) {
          if (one.type === 'append') {
            tail.append(bytes(end, one.size));
            end += one.size;
          } else if (one.type === 'commit') {
            committed += Math.floor((end - committed) * one.part);
            tail.commit(committed);
          } else {
            tail.forgetUncommitted();
            end = committed;
          }
          expect(tail.end).toBe(end);
          expect(tail.start).toBeLessThanOrEqual(committed);
          const from = tail.start + (probe % Math.max(1, end - tail.start));
          const read = Buffer.concat(tail.read(from));
          expect(read.length).toBe(end - from < 0 ? 0 : end - from);
          if (read.length > 0) {
            expect(read[0]).toBe(from % 251);
            expect(read.at(-1)).toBe((end - 1) % 251);
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
