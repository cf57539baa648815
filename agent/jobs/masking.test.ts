import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MASK, maskedStrings, Masker, maskJson, maskText } from './masking.ts';

function maskInPieces(pieces: readonly Buffer[], strings: readonly string[]): Buffer {
  const masker = new Masker(strings);
  return Buffer.concat([...pieces.map((piece) => masker.push(piece)), masker.flush()]);
}

/** The definition: at each place the longest string wins, then reading goes on behind it. */
function maskByDefinition(text: Buffer, strings: readonly string[]): Buffer {
  const needles = strings
    .map((string) => Buffer.from(string))
    .toSorted((a, b) => b.length - a.length);
  const out: Buffer[] = [];
  for (let at = 0; at < text.length;) {
    const needle = needles.find((each) => text.subarray(at, at + each.length).equals(each));
    out.push(needle === undefined ? text.subarray(at, at + 1) : MASK);
    at += needle?.length ?? 1;
  }
  return Buffer.concat(out);
}

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length];
  at.sort((a, b) => a - b);
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

test('wherever the output is cut, the same is masked', () => {
  // Few letters, so that strings overlap, repeat and begin alike.
  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'é'), minLength: 1, maxLength: 6 });
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\n'), maxLength: 60 });
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 4 }),
      text,
      fc.array(fc.nat(), { maxLength: 12 }),
      (strings, whole, places) => {
        const bytes = Buffer.from(whole);
        const masked = maskInPieces(cut(bytes, places), strings);
        expect(masked.equals(maskByDefinition(bytes, strings))).toBe(true);
      },
    ),
    { numRuns: 5_000 },
  );
});

test('no secret survives in output that was cut anywhere', () => {
  const secret = 'pa55-Wörd-with-ümlauts';
  const bytes = Buffer.from(`before ${secret}${secret} after ${secret}`);
  for (let first = 0; first <= bytes.length; first++) {
    const masked = maskInPieces(cut(bytes, [first, first * 7 + 3]), [secret]).toString();
    expect(masked).toBe('before •••••• after •••');
  }
});

test('only bytes that may begin a secret are held back', () => {
  const masker = new Masker(['secret']);
  expect(masker.push(Buffer.from('login: ')).toString()).toBe('login: ');
  expect(masker.push(Buffer.from('is se')).toString()).toBe('is ');
  expect(masker.push(Buffer.from('t')).toString()).toBe('set');
  expect(masker.push(Buffer.from('sec')).toString()).toBe('');
  expect(masker.flush().toString()).toBe('sec');
});

test('a string that is added is masked from then on, also where it begins in what was held back', () => {
  const masker = new Masker(['secret']);
  expect(masker.push(Buffer.from('hunter2 se')).toString()).toBe('hunter2 ');
  masker.add(['sesame', 'hunter2']);
  expect(masker.push(Buffer.from('same hunt')).toString()).toBe('••• ');
  expect(masker.push(Buffer.from('er2 secret')).toString()).toBe('••• •••');
});

test('bytes that are no text pass unchanged', () => {
  const bytes = Buffer.from(Array.from({ length: 4096 }, (_, index) => (index * 7) & 0xff));
  expect(maskInPieces(cut(bytes, [1, 100, 2048]), ['secret']).equals(bytes)).toBe(true);
});

test('a secret of several lines is masked line by line, but not its short lines', () => {
  const key = '-----BEGIN KEY-----\nMIIEvQ\nab\n-----END KEY-----\n';
  const strings = maskedStrings([key]);
  expect(maskText('got MIIEvQ here', strings)).toBe('got ••• here');
  expect(maskText('about', strings)).toBe('about');
  expect(maskText(key, strings)).toBe('•••');
});

test('secrets are masked inside JSON, keys included', () => {
  const value = { a: ['x secret', { secret: 1 }], n: 3, none: null };
  expect(maskJson(value, ['secret'])).toEqual({ a: ['x •••', { '•••': 1 }], n: 3, none: null });
});

test('a long secret in output full of its first letter does not take long', () => {
  const secret = `${'a'.repeat(16_000)}b`;
  const masker = new Masker([secret]);
  const start = performance.now();
  for (let piece = 0; piece < 20; piece++) masker.push(Buffer.alloc(64 * 1024, 'a'));
  expect(performance.now() - start).toBeLessThan(5_000);
});
