import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { firstControl, firstUnseen, harmless, harmlessJson } from './harmless-text.ts';

describe('text made harmless', () => {
  it('shows every unseen character by its number', () => {
    expect(harmless('a\u001b[31mb\u202ec\n')).toBe('a⟦U+001B⟧[31mb⟦U+202E⟧c⟦U+000A⟧');
  });

  it('holds no control character, whatever it was made from', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(harmless(text)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  it('writes JSON that reads back as the same value and holds no control character', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: 'binary' }), (value, text) => {
        const written = harmlessJson({ value, text });
        expect(written).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        expect(JSON.parse(written)).toEqual(JSON.parse(JSON.stringify({ value, text })));
      }),
    );
  });
});

it.each([
  ['T-4711', null],
  ['Søren 测试 😀', null],
  ['a\u001b[31m', 'U+001B'],
  ['a\nb', 'U+000A'],
  ['a\u009b', 'U+009B'],
  ['a\u202eb', 'U+202E'],
  ['a\u2028b', 'U+2028'],
])('in %j the first that cannot be seen is %s', (text, code) => {
  expect(firstUnseen(text)).toBe(code);
});

it.each([
  ['one\n\ttwo\r\nthree \u200d', null],
  ['one\rtwo', 'U+000D'],
  ['one\u0007', 'U+0007'],
  ['one\u009b', 'U+009B'],
])('in the lines of %j the first control character is %s', (text, code) => {
  expect(firstControl(text)).toBe(code);
});
