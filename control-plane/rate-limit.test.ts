import { describe, expect, it } from 'vitest';
import { createRateLimit } from './rate-limit.ts';

describe('a rate limit', () => {
  it('allows a burst, then as many as its rate gives back', () => {
    let now = 0;
    const limit = createRateLimit({ burst: 3, perMinute: 6, now: () => now });
    for (let attempt = 0; attempt < 3; attempt++) {
      expect(limit.allows('192.0.2.1')).toBe(true);
      limit.count('192.0.2.1');
    }
    expect(limit.allows('192.0.2.1')).toBe(false);
    expect(limit.allows('192.0.2.2')).toBe(true);
    now = 9_999;
    expect(limit.allows('192.0.2.1')).toBe(false);
    now = 10_001;
    expect(limit.allows('192.0.2.1')).toBe(true);
    now = 3600_000;
    for (let attempt = 0; attempt < 3; attempt++) limit.count('192.0.2.1');
    expect(limit.allows('192.0.2.1')).toBe(false);
  });

  it('takes the addresses of one IPv6 customer for one', () => {
    const limit = createRateLimit({ burst: 1, perMinute: 1, now: () => 0 });
    limit.count('2001:db8:1:2::1');
    expect(limit.allows('2001:db8:1:2:ffff::9')).toBe(false);
    expect(limit.allows('2001:0DB8:0001:0002:0:0:0:7')).toBe(false);
    expect(limit.allows('2001:db8:1:3::1')).toBe(true);
    limit.count('::ffff:192.0.2.1');
    expect(limit.allows('::ffff:192.0.2.2')).toBe(true);
    expect(limit.allows('192.0.2.1')).toBe(false);
  });

  it('lets nobody go on with the next network of a site once 16 of them have had their fill', () => {
    let now = 0;
    const limit = createRateLimit({ burst: 2, perMinute: 2, now: () => now });
    let counted = 0;
    for (let network = 1; limit.allows(`2001:db8:1:${network.toString(16)}::1`); network++) {
      for (let time = 0; time < 2; time++, counted++) {
        limit.count(`2001:db8:1:${network.toString(16)}::1`);
      }
    }
    expect(counted).toBe(32);
    expect(limit.waitSeconds('2001:db8:1:ffff::1')).toBe(2);
    expect(limit.allows('2001:db8:2::1')).toBe(true);
    now = 2_000;
    expect(limit.allows('2001:db8:1:ffff::1')).toBe(true);
    expect(limit.waitSeconds('2001:db8:1:1::1')).toBe(28);
  });

  it('remembers a bounded number of networks', () => {
    const limit = createRateLimit({ burst: 1, perMinute: 1, remembered: 3, now: () => 0 });
    for (const last of [1, 2, 3, 4]) limit.count(`192.0.2.${last}`);
    expect([1, 2, 3, 4].map((last) => limit.allows(`192.0.2.${last}`))).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});
