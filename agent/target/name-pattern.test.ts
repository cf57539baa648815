import { expect, it } from 'vitest';
import { fitsPattern } from './name-pattern.ts';

it.each([
  ['*.conf', '10-own.conf', true],
  ['*.conf', '10-own.conf.bak', false],
  ['1?-*', '10-own.conf', true],
  ['1?-*', '1-own.conf', false],
  ['*a*b*', 'xaxbx', true],
  ['*a*b*', 'xbxax', false],
  ['a.c', 'abc', false],
  ['', '', true],
  ['*', '', true],
])('%s for %s: %s', (pattern, name, fits) => {
  expect(fitsPattern(pattern, name)).toBe(fits);
});

it.each([
  ['[0-4]*.conf', '30-own.conf', true],
  ['[0-4]*.conf', '90-own.conf', false],
  ['[!0-4]*.conf', '90-own.conf', true],
  ['[ab]x', 'bx', true],
])('with sets, %s for %s: %s', (pattern, name, fits) => {
  expect(fitsPattern(pattern, name, true)).toBe(fits);
  expect(fitsPattern(pattern, name)).toBe(false);
});

it('takes no time for many *', () => {
  expect(fitsPattern(`${'*a'.repeat(100)}b`, 'a'.repeat(255))).toBe(false);
});
