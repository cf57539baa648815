import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { ScreenFilter } from './screen-filter.ts';

const shown = (text: string) => new ScreenFilter().push(Buffer.from(text)).toString();

describe('what a server sends to the terminal of an engineer', () => {
  it.each([
    ['text of all scripts', 'plain grün \u00a0 日本 😀\r\n\t'],
    ['colours', '\u001b[1;31mred\u001b[0m'],
    ['cursor and screens', '\u001b[2J\u001b[H\u001b[?1049h\u001b[?25l\u001b7\u001b8\u001b='],
    ['a margin bell', '\u001b[2 t'],
    ['a question for the cursor', '\u001b[6n'],
  ])('passes with %s', (_what, text) => {
    expect(shown(text)).toBe(text);
  });

  it.each([
    ['the clipboard', 'a\u001b]52;c;cm0gLXJmIC8=\u0007b'],
    ['the clipboard, ended otherwise', 'a\u001b]52;c;cm0gLXJmIC8=\u001b\\b'],
    ['the clipboard as C1', 'a\u009d52;c;cm0gLXJmIC8=\u009cb'],
    ['the title', 'a\u001b]0;title\u0007b'],
    ['a link', 'a\u001b]8;;http://x\u001b\\\u001b]8;;\u001b\\b'],
    ['a question for settings', 'a\u001bP$qm\u001b\\b'],
    ['a private message', 'a\u001b^x\u001b\\\u001b_x\u001b\\\u001bXx\u001b\\b'],
    ['the title asked back', 'a\u001b[21tb'],
    ['the title asked back as C1', 'a\u009b21tb'],
    ['a sequence without an end', `a\u001b[${'1;'.repeat(40)}\u001b[0tb`],
  ])('loses %s', (_what, text) => {
    expect(shown(text).replaceAll(/[1;]/g, '')).toBe('ab');
  });

  it.each([
    ['a NUL after ESC', 'a\u001b\0]52;c;eA==\u0007b', 'a\0b'],
    ['a line end after ESC', 'a\u001b\n]0;title\u0007b', 'a\nb'],
    ['DEL after ESC', 'a\u001b\u007f]0;title\u0007b', 'a]0;title\u0007b'],
    ['a line end inside the question', 'a\u001b[2\n1tb', 'a\nb'],
    ['DEL inside the question', 'a\u001b[21\u007ftb', 'atb'],
    ['a letter inside the question', 'a\u001b[21étb', 'aétb'],
    ['leaving UTF-8', 'a\u001b%@b', 'ab'],
  ])('loses what reaches beyond the screen also with %s', (_what, text, left) => {
    expect(shown(text)).toBe(left);
  });

  it.each([
    ['half a C1 control before a whole one', [0xc2, 0xc2, 0x9d, 0x30, 0x07], []],
    ['half a C1 control before what is lost', [0xc2, 0x1b, 0x5d, 0x07, 0x9d, 0x30], [0x9d, 0x30]],
    ['half a C1 control inside a string', [0xc2, 0x9d, 0xc2, 0xc2, 0x9c, 0x61], [0x61]],
  ])('makes no control of %s', (_what, bytes, left) => {
    expect([...new ScreenFilter().push(Buffer.from(bytes))]).toEqual(left);
  });

  it('loses a string that never ends, up to where it is broken off', () => {
    expect(shown('a\u001b]0;x\u0018b')).toBe('ab');
    expect(shown('a\u001b]0;x\u001b[1mb')).toBe('a\u001b[1mb');
  });

  it('is the same whatever pieces it arrives in', () => {
    const pieces = fc.array(
      fc.constantFrom('\u001b', ']52;c;', '[21t', '[1m', 'é', '\u009d', '\u0007', '\\', 'x', 'P'),
    );
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 5 }), (texts, size) => {
        const bytes = Buffer.from(texts.join(''));
        const filter = new ScreenFilter();
        const parts: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) {
          parts.push(Buffer.from(filter.push(bytes.subarray(at, at + size))));
        }
        const whole = new ScreenFilter().push(bytes);
        expect(Buffer.concat(parts)).toEqual(Buffer.from(whole));
        for (const control of ['\u001b]', '\u009d', '\u001b[21t']) {
          expect(whole.toString()).not.toContain(control);
        }
      }),
    );
  });
});
