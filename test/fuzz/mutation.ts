import { seededRandom } from '../harness/process.ts';

/** Chances of a test run, all of which follow from its seed: a failed run can be repeated with it. */
export interface Chance {
  seed: number;
  /** An integer from 0 to below `bound`. */
  below(bound: number): number;
  pick<T>(values: readonly T[]): T;
  bytes(length: number): Buffer;
}

/** `INTERVENE_FUZZ_SEED` repeats an earlier run. */
export function createChance(): Chance {
  const given = Number(process.env['INTERVENE_FUZZ_SEED']);
  const seed = Number.isInteger(given) && given > 0 ? given : 1 + (Date.now() % 1_000_000);
  const random = seededRandom(seed);
  const below = (bound: number) => Math.floor(random() * bound);
  return {
    seed,
    below,
    pick: (values) => values[below(values.length)]!,
    bytes: (length) => Buffer.from(Array.from({ length }, () => below(256))),
  };
}

/** One to three edits: a bit, a byte, a piece cut out, doubled, swapped, put in, or the end torn off. */
export function mutate(chance: Chance, bytes: Buffer, pieces: readonly Buffer[]): Buffer {
  let mutated = Buffer.from(bytes);
  for (let edits = 1 + chance.below(3); edits > 0; edits--) {
    const at = chance.below(mutated.length + 1);
    const until = Math.min(mutated.length, at + 1 + chance.below(24));
    const [before, piece, after] = [
      mutated.subarray(0, at),
      mutated.subarray(at, until),
      mutated.subarray(until),
    ];
    const edited = [
      () => [before, flipped(chance, piece), after],
      () => [before, chance.bytes(piece.length), after],
      () => [before, after],
      () => [before, piece, piece, after],
      () => [before, chance.pick(pieces), piece, after],
      () => [before, chance.pick(pieces), after],
      () => [after, before, piece],
      () => [before],
    ];
    mutated = Buffer.concat(chance.pick(edited)());
  }
  return mutated;
}

function flipped(chance: Chance, piece: Buffer): Buffer {
  const copy = Buffer.from(piece);
  if (copy.length > 0) copy[chance.below(copy.length)]! ^= 1 << chance.below(8);
  return copy;
}

/** Values that parsers, databases, shells and people stumble over. */
export const NASTY_TEXTS: readonly string[] = [
  ...['', ' ', '\0', 'a\0b', '\n', 'a\nb', '\r\n', '\t', '\x1b[31m', '\x1b]52;c;aGk=\x07', '\x7f'],
  ...['-', '--', '-rf', '--help', '-o ProxyCommand=id', '@file', '~', '~root', '*', '?', '%s%n'],
  ...[
    '$(id)',
    '`id`',
    '${HOME}',
    ';id',
    '|id',
    '&id',
    '>x',
    "'",
    '"',
    "' or 1=1 --",
    '\\',
    '\\x00',
  ],
  ...['..', '../../etc/passwd', '/', '//', '/..', '/proc/self/root/etc/shadow', '/dev/../etc/x'],
  ...['%00', '%2e%2e%2f', '%', '%zz', '\u202e', '\u200b', '\ufeff', '\ud800', '\udfff\ud800', '😀'],
  ...['ａdmin', 'аdmin', 'İ', 'ß', '\u0000\u0001', '__proto__', 'constructor', 'toString', 'null'],
  ...[
    'true',
    'NaN',
    'Infinity',
    '-0',
    '1e999',
    '9007199254740993',
    '0x10',
    '١٢٣',
    '<script>',
    '&lt;',
  ],
  ...[
    '00000000-0000-0000-0000-000000000000',
    'a'.repeat(300),
    'é'.repeat(5_000),
    '../'.repeat(400),
  ],
];

export const NASTY_VALUES: readonly unknown[] = [
  ...NASTY_TEXTS,
  ...[null, true, false, 0, -1, 1.5, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, [], {}, [[]], [null]],
  ...[{ __proto__: null, a: 1 }, { constructor: {} }, Array.from({ length: 300 }, () => 'x')],
  deep(60),
];

function deep(levels: number): unknown {
  return levels === 0 ? 'x' : [deep(levels - 1)];
}
