import { describe, expect, it } from 'vitest';
import {
  documentLimits,
  parseStrictJson,
  StrictJsonError,
} from '../../proto/documents/strict-json.ts';
import { createChance, mutate, NASTY_TEXTS } from './mutation.ts';

const RUNS = 100_000;
const chance = createChance();

const TOKENS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"a"',
    '"b"',
    '"__proto__"',
    '"\\u005f_proto__"',
    'null',
    'true',
  ],
  ...['0', '-0', '1', '12', '-7', '1e5', '1.0', '9007199254740991', '9007199254740993', '1e999'],
  ...[
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    ' ',
    '\n',
    '\t',
    '//',
    '/**/',
    '\ufeff',
    '+',
    'NaN',
  ],
];

/** Mostly JSON, written in odd ways. */
function grammatical(depth: number): string {
  const space = chance.pick(['', '', ' ', '\n', '\t']);
  switch (chance.below(depth > 10 ? 3 : 6)) {
    case 0:
      return (
        space + chance.pick(['null', 'true', 'false', '0', '-1', '42', '1e3', '9007199254740992'])
      );
    case 1:
    case 2:
      return space + JSON.stringify(chance.pick(NASTY_TEXTS).slice(0, 40));
    case 3:
      return `${space}[${many(() => grammatical(depth + 1))}]`;
    default:
      return `${space}{${many(() => `${JSON.stringify(chance.pick(NASTY_TEXTS).slice(0, 20))}:${grammatical(depth + 1)}`)}}`;
  }
}

function many(make: () => string): string {
  return Array.from({ length: chance.below(4) }, make).join(
    chance.pick([',', ',', ',', ' ,', ',,']),
  );
}

function example(): Buffer {
  switch (chance.below(3)) {
    case 0:
      return Buffer.from(
        Array.from({ length: chance.below(14) }, () => chance.pick(TOKENS)).join(''),
      );
    case 1:
      return Buffer.from(grammatical(0));
    default:
      return mutate(
        chance,
        Buffer.from(grammatical(0)),
        TOKENS.map((token) => Buffer.from(token)),
      );
  }
}

describe(`strict JSON (seed ${chance.seed})`, () => {
  it(`reads none of ${RUNS} texts differently from JSON.parse, and fails in one way only`, () => {
    for (let run = 0; run < RUNS; run++) {
      const bytes = example();
      let value: unknown;
      try {
        value = parseStrictJson(bytes);
      } catch (error) {
        if (error instanceof StrictJsonError) continue;
        throw error;
      }
      const text = bytes.toString();
      // V8 13.6 is no judge of escapes: once it has read a key `\\`, it takes the key `\n` for it.
      if (!text.includes('\\')) expect(JSON.parse(text)).toEqual(value);
      expect(parseStrictJson(Buffer.from(JSON.stringify(value)))).toEqual(value);
      expect(Buffer.from(text)).toEqual(bytes);
    }
  });

  it.each([
    ['arrays', '['],
    ['objects', '{"a":'],
    ['blanks', ' '],
    ['a text that does not end', `"${'\\'.repeat(1)}`],
    ['digits', '1'],
  ])('gives up on %s at once, however many', (_, piece) => {
    const started = performance.now();
    for (let run = 0; run < 100; run++) {
      const text = piece.repeat(Math.floor(documentLimits.bytes / piece.length));
      expect(() => parseStrictJson(Buffer.from(text))).toThrow(StrictJsonError);
    }
    // Five milliseconds each, on a machine that is busy with something else.
    expect((performance.now() - started) / 100).toBeLessThan(50);
  });
});
