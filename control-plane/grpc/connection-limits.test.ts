import { expect, it } from 'vitest';
import { AddressCounts } from './connection-limits.ts';

it('counts the connections of one IPv6 customer together, and of a site at most 16 times as many', () => {
  const counts = new AddressCounts(2);
  const leave = counts.enter('2001:db8:1:0::1');
  expect(counts.enter('2001:db8:1:0:ffff::2')).not.toBe(null);
  expect(counts.enter('2001:db8:1:0::3')).toBe(null);
  for (let network = 1; network < 16; network++) {
    for (let time = 0; time < 2; time++) {
      expect(counts.enter(`2001:db8:1:${network.toString(16)}::1`)).not.toBe(null);
    }
  }
  expect(counts.enter('2001:db8:1:ffff::1')).toBe(null);
  expect(counts.enter('2001:db8:2::1')).not.toBe(null);
  leave!();
  leave!();
  expect(counts.enter('2001:db8:1:ffff::1')).not.toBe(null);
  expect(counts.enter('2001:db8:1:fffe::1')).toBe(null);
});

it('counts by the address itself where it is one of IPv4', () => {
  const counts = new AddressCounts(1);
  expect(counts.enter('192.0.2.1')).not.toBe(null);
  expect(counts.enter('192.0.2.1')).toBe(null);
  expect(counts.enter('::ffff:192.0.2.1')).toBe(null);
  expect(counts.enter('192.0.2.2')).not.toBe(null);
});
