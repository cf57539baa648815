import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogTextFilter } from './log-text-filter.ts';

const ESC = '\u001b';

function filter(text: string | Buffer, colors = false): { out: string; hidden: number } {
  const log = new LogTextFilter({ colors });
  const out = log.push(Buffer.from(text)) + log.end();
  return { out, hidden: log.hidden };
}

/** Bytes that meet the filter's every state: text, controls, sequences begun and never ended. */
const hostileBytes = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text)),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
      fc
        .constantFrom(
          `${ESC}[31m`,
          `${ESC}[38;5;196m`,
          `${ESC}[8m`,
          `${ESC}[2J`,
          `${ESC}[`,
          `${ESC}]52;c;ZXZpbA==\u0007`,
          `${ESC}]8;;http://evil${ESC}\\`,
          `${ESC}P`,
          `${ESC}(B`,
          '\r',
          '\b\b',
          '\n',
          '\t',
          '\u009b31m',
          '\u202etxt',
          'text ',
        )
        .map((text) => Buffer.from(text)),
    ),
    { maxLength: 30 },
  )
  .map((parts) => Buffer.concat(parts));

function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [
    0,
    ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b),
    bytes.length,
  ];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

describe('the log text filter', () => {
  it('lets plain text through as it is, umlauts, tabs and all', () => {
    expect(filter('Größe:\t3 Дата 文\nnext\n').out).toBe('Größe:\t3 Дата 文\nnext\n');
  });

  it('never lets a control or unseen character into a pipe, whatever comes, however cut', () => {
    fc.assert(
      fc.property(hostileBytes, fc.array(fc.nat(), { maxLength: 5 }), (bytes, places) => {
        const log = new LogTextFilter({ colors: false });
        const out =
          cut(bytes, places)
            .map((part) => log.push(part))
            .join('') + log.end();
        expect(out).not.toMatch(/[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
      { numRuns: 500 },
    );
  });

  it('lets nothing but allowed colours through to a terminal, and every line ends without one', () => {
    const code = '(?:[12347]|3[0-7]|9[0-7]|4[0-7]|10[0-7])';
    const allowed = new RegExp(`${ESC}\\[(?:0|${code}(?:;${code})*)m`, 'g');
    fc.assert(
      fc.property(hostileBytes, fc.array(fc.nat(), { maxLength: 5 }), (bytes, places) => {
        const log = new LogTextFilter({ colors: true });
        const out =
          cut(bytes, places)
            .map((part) => log.push(part))
            .join('') + log.end();
        expect(out.replaceAll(allowed, '')).not.toMatch(/[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/u);
        for (const line of out.split('\n')) {
          const last = line.match(allowed)?.at(-1);
          expect(last === undefined || last === `${ESC}[0m`).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('says the same wherever the bytes are cut', () => {
    fc.assert(
      fc.property(
        hostileBytes,
        fc.array(fc.nat(), { maxLength: 8 }),
        fc.boolean(),
        (bytes, places, colors) => {
          const log = new LogTextFilter({ colors });
          const out =
            cut(bytes, places)
              .map((part) => log.push(part))
              .join('') + log.end();
          const whole = filter(bytes, colors);
          expect({ out, hidden: log.hidden }).toEqual(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('takes out clipboard, link, title and cursor sequences and counts them', () => {
    const text = `a${ESC}]52;c;eA==\u0007b${ESC}]8;;http://x${ESC}\\c${ESC}[2Jd${ESC}Pq${ESC}\\e${ESC}[6nf\n`;
    expect(filter(text)).toEqual({ out: 'abcdef\n', hidden: 5 });
  });

  it('does not let a sequence that never ends hide the next line', () => {
    expect(filter(`${ESC}]0;title without end\nseen\n`)).toEqual({ out: '\nseen\n', hidden: 1 });
    expect(filter(`${ESC}[31\nseen\n`)).toEqual({ out: '\nseen\n', hidden: 1 });
  });

  it('shows what turns text around or hides it', () => {
    expect(filter('user\u202etxt.exe\u200b\u0000\n').out).toBe(
      'user⟦U+202E⟧txt.exe⟦U+200B⟧⟦U+0000⟧\n',
    );
  });

  it('keeps colours on a terminal, drops what conceals or blinks, maps 256 and RGB to 16', () => {
    const { out } = filter(
      `${ESC}[1;31mred${ESC}[0m ${ESC}[8mhid${ESC}[0m ${ESC}[38;5;46mgreen${ESC}[39m ${ESC}[38;2;0;0;255mblue\n`,
      true,
    );
    expect(out).toBe(
      `${ESC}[1;31mred${ESC}[0m hid ${ESC}[92mgreen${ESC}[0m ${ESC}[94mblue${ESC}[0m\n`,
    );
  });

  it('carries a colour over to the next line without leaving it switched on between', () => {
    expect(filter(`${ESC}[32ma\nb${ESC}[0mc\n`, true).out).toBe(
      `${ESC}[32ma${ESC}[0m\n${ESC}[32mb${ESC}[0mc\n`,
    );
  });

  it('shows the last state of a progress bar', () => {
    expect(filter('10 %\r50 %\r100 %\n').out).toBe('100 %\n');
    expect(filter('abc\b\bX\n').out).toBe('aXc\n');
    expect(filter(`long text\r${ESC}[Kshort\n`).out).toBe('short\n');
    expect(filter('dos\r\n').out).toBe('dos\n');
  });

  it('begins a line anew that is erased whole, wherever the cursor stood', () => {
    expect(filter(`long text${ESC}[2Kshort\n`).out).toBe('short\n');
    expect(filter(`long text${ESC}[2K\n`).out).toBe('\n');
  });

  it('keeps an unfinished line to itself until it ends, and shows it when asked', () => {
    const log = new LogTextFilter({ colors: false });
    expect(log.push(Buffer.from('first\nsec'))).toBe('first\n');
    expect(log.unfinishedLine).toBe('sec');
    expect(log.push(Buffer.from('\rond\n'))).toBe('ond\n');
    expect(log.unfinishedLine).toBe('');
  });

  it('lets a line over 8 KiB go in pieces, so that nothing piles up', () => {
    const log = new LogTextFilter({ colors: false });
    const out = log.push(Buffer.from('x'.repeat(20_000)));
    expect(out.length).toBeGreaterThan(8192);
    expect(log.unfinishedLine.length).toBeLessThanOrEqual(8192);
    const careful = new LogTextFilter({ colors: false });
    expect(careful.push(Buffer.from(`\u0007${'y'.repeat(20_000)}`)).length).toBeGreaterThan(8192);
  });

  it('replaces what is not UTF-8', () => {
    expect(filter(Buffer.from([0x61, 0xff, 0x62, 0x0a])).out).toBe('a\ufffdb\n');
  });
});
