import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { documentLimits, parseStrictJson, StrictJsonError } from './strict-json.ts';

const parse = (text: string | Uint8Array, limits = documentLimits) =>
  parseStrictJson(typeof text === 'string' ? Buffer.from(text) : text, limits);

/** JSON as documents may contain it: integers, well-formed text, no `__proto__`, six levels. */
const strictValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger().map((number) => number + 0),
    fc.string({ unit: 'grapheme' }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      fc.string({ unit: 'grapheme' }).filter((key) => key !== '__proto__'),
      tie('value'),
      { maxKeys: 4, noNullPrototype: true },
    ),
  ),
})).value;

describe('strict JSON', () => {
  it('reads what JSON.stringify wrote', () => {
    fc.assert(
      fc.property(strictValue, fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        expect(parse(JSON.stringify(value, null, indent))).toEqual(value);
      }),
    );
  });

  it('reads nothing that JSON.parse reads differently', () => {
    const piece = fc.constantFrom(
      ...Array.from('{}[]",:0123456789-+.eE\\ tfn/*\n'),
      '"a"',
      '\\u0061',
      'true',
      'null',
      '"__proto__"',
      '12',
      '\u{1F600}',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('');
        const strict = attempt(() => parse(text));
        fc.pre('value' in strict);
        expect(strict).toEqual(attempt(() => JSON.parse(text)));
      }),
      { numRuns: 2000 },
    );
  });

  it('throws nothing but its own error, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const result = attempt(() => parse(bytes));
        expect('value' in result || result.error instanceof StrictJsonError).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['a duplicate key', '{"a":1,"a":2}'],
    ['a duplicate key, written differently', '{"a":1,"\\u0061":2}'],
    ['a duplicate key deep inside', '{"x":[{"a":1,"b":2,"a":1}]}'],
    ['__proto__', '{"__proto__":{}}'],
    ['__proto__, written differently', '{"__proto\\u005f_":1}'],
    ['1e999', '{"a":1e999}'],
    ['an exponent', '1e2'],
    ['a fraction', '1.0'],
    ['2^53', '9007199254740992'],
    ['2^53 + 1', '9007199254740993'],
    ['-2^53', '-9007199254740992'],
    ['-0', '-0'],
    ['a leading zero', '01'],
    ['a plus sign', '+1'],
    ['a bare minus', '-'],
    ['NaN', 'NaN'],
    ['Infinity', '-Infinity'],
    ['a lone high surrogate', '"\\ud800"'],
    ['a lone low surrogate', '"\\udc00x"'],
    ['a lone surrogate in a key', '{"\\ud800":1}'],
    ['a byte-order mark', '\ufeff{}'],
    ['a comment', '{/* a */}'],
    ['a line comment', '{} // a'],
    ['a trailing comma', '[1,]'],
    ['a trailing comma in an object', '{"a":1,}'],
    ['a missing comma', '[1 2]'],
    ['a missing comma in an object', '{"a":1 "b":2}'],
    ['another sign instead of a comma', '[1;2]'],
    ['another sign instead of a comma in an object', '{"a":1;"b":2}'],
    ['another sign instead of a colon', '{"a"=1}'],
    ['a missing colon', '{"a" 1}'],
    ['a key without quotes', '{a:1}'],
    ['a number as key', '{1:1}'],
    ['single quotes', "{'a':1}"],
    ['two documents', '{}{}'],
    ['no document', ''],
    ['only space', ' \n'],
    ['an object that does not end', '{"a":1'],
    ['an array that does not end', '[1'],
    ['a string that does not end', '"a'],
    ['a string that ends in a backslash', '"a\\'],
    ['a string that ends in an escaped quote', '"a\\"'],
    ['a string that ends in three backslashes and a quote', '"a\\\\\\"'],
    ['an unknown escape', '"\\x41"'],
    ['a short escape', '"\\u12"'],
    ['a raw newline in a string', '"a\nb"'],
    ['a raw NUL in a string', '"a\0b"'],
    ['a no-break space between values', '[1,\u00a02]'],
    ['half a word', 'tru'],
    ['a word in capitals', 'True'],
    ['undefined', 'undefined'],
  ])('refuses %s', (_what, text) => {
    expect(() => parse(text)).toThrow(StrictJsonError);
  });

  it.each([
    ['an overlong encoding', [0x22, 0xc0, 0xaf, 0x22]],
    ['a continuation byte alone', [0x22, 0x80, 0x22]],
    ['a surrogate encoded in UTF-8', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a character cut in half', [0x22, 0xe2, 0x82, 0x22]],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])('refuses %s', (_what, bytes) => {
    expect(() => parse(Uint8Array.from(bytes))).toThrow('not valid UTF-8');
  });

  it('reads the extremes it allows', () => {
    expect(parse('[9007199254740991,-9007199254740991,0]')).toEqual([
      9007199254740991, -9007199254740991, 0,
    ]);
    expect(parse('"\\\\"')).toBe('\\');
    expect(parse('["\\"",","]')).toEqual(['"', ',']);
    expect(parse('"\\ud83d\\ude00\\u0000\\/"')).toBe('\u{1F600}\0/');
    expect(parse('{"constructor":1,"toString":2,"hasOwnProperty":3,"":4}')).toEqual(
      JSON.parse('{"constructor":1,"toString":2,"hasOwnProperty":3,"":4}'),
    );
  });

  it('allows as many levels as the limit says and not one more', () => {
    const nested = (levels: number) => '['.repeat(levels) + ']'.repeat(levels);
    expect(parse(nested(8))).toEqual([[[[[[[[]]]]]]]]);
    expect(() => parse(nested(9))).toThrow('deeper than 8 levels');
    expect(() => parse(`${'{"a":'.repeat(9)}1${'}'.repeat(9)}`)).toThrow('deeper than 8');
  });

  it('allows as many bytes as the limit says and not one more', () => {
    const limits = { bytes: 16, depth: 8 };
    expect(parse(`"${'a'.repeat(14)}"`, limits)).toHaveLength(14);
    expect(() => parse(`"${'a'.repeat(15)}"`, limits)).toThrow('17 bytes, at most 16 are allowed');
  });

  it.each([
    ['10,000 arrays', '['.repeat(10_000)],
    ['10,000 objects', '{"a":'.repeat(10_000)],
    ['a long run of digits', '1'.repeat(60_000)],
    ['a long fraction', `0.${'1'.repeat(60_000)}`],
    ['a long key twice', `{"${'k'.repeat(30_000)}":1,"${'k'.repeat(30_000)}":1}`],
    ['escapes that end badly', `"${'\\u0041'.repeat(10_000)}`],
    ['escaped quotes that never end', `"${'\\"'.repeat(30_000)}`],
    ['backslashes that never end', `"${'\\'.repeat(59_999)}"`],
    ['much space and nothing', ' '.repeat(65_000)],
  ])('refuses %s in under 5 ms', (_what, text) => {
    const bytes = Buffer.from(text);
    const attempts = Array.from({ length: 5 }, () => {
      const start = performance.now();
      const result = attempt(() => parse(bytes));
      return { refused: 'error' in result, ms: performance.now() - start };
    });
    expect(attempts.every(({ refused }) => refused)).toBe(true);
    // The best of five: a machine shared with other tests pauses now and then.
    expect(Math.min(...attempts.map(({ ms }) => ms))).toBeLessThan(5);
  });
});

function attempt(read: () => unknown): { value: unknown } | { error: unknown } {
  try {
    return { value: read() };
  } catch (error) {
    return { error };
  }
}
