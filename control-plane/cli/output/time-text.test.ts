import { describe, expect, it } from 'vitest';
import {
  formatAge,
  formatBytes,
  formatClock,
  formatDuration,
  formatElapsed,
  formatMoment,
  parseDuration,
} from './time-text.ts';

describe('times as people write and read them', () => {
  it.each([
    ['30s', 30],
    ['10m', 600],
    ['4h', 14_400],
    ['7d', 604_800],
    ['1h30m', 5400],
  ])('reads %s as %i seconds', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  it.each(['', '0s', '4', 'h', '4 h', '-4h', '1.5h', '4w'])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  it('says how long something took', () => {
    expect([200, 8400, 59_000, 182_000, 7_500_000, 273_600_000].map(formatDuration)).toEqual([
      '0.2 s',
      '8.4 s',
      '59 s',
      '3 min 02 s',
      '2 h 05 min',
      '3 d 4 h',
    ]);
  });

  it('says ages, clocks, sizes', () => {
    expect([5000, 61_000, 7_300_000, 90_000_000].map(formatAge)).toEqual([
      '5 s',
      '1 min',
      '2 h',
      '1 d',
    ]);
    expect([108_000, 3_723_000].map(formatElapsed)).toEqual(['01:48', '1:02:03']);
    expect([512, 88_000, 1_250_000, 310_000_000].map(formatBytes)).toEqual([
      '512 B',
      '88 kB',
      '1.3 MB',
      '310 MB',
    ]);
  });

  it("tells the time in the reader's zone", () => {
    const at = Date.parse('2026-11-25T03:11:42.000Z');
    expect(formatClock(at, 'UTC')).toBe('03:11');
    expect(formatClock(at, 'Europe/Moscow', { seconds: true })).toBe('06:11:42');
    expect(formatMoment(at, 'Europe/Moscow')).toBe('25 Nov 2026, 06:11 GMT+3');
  });
});
