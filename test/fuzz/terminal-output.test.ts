import { describe, expect, it } from 'vitest';
import { RecordedScreen } from '../../control-plane/cli/jobs/recorded-screen.ts';
import { harmless } from '../../proto/documents/harmless-text.ts';
import { LogTextFilter } from '../../control-plane/cli/output/log-text-filter.ts';
import { ScreenFilter } from '../../control-plane/cli/terminal/screen-filter.ts';
import { createChance, mutate, NASTY_TEXTS } from './mutation.ts';
import { commandsIn } from './terminal-model.ts';

const CORPUS = 400;
const RUNS = 100_000;
const chance = createChance();

const STARTS = ['\x1b[', '\x1b]', '\x1bP', '\x1bX', '\x1b^', '\x1b_', '\x9b', '\x9d', '\x90'];
const ENDS = ['\x07', '\x1b\\', '\x9c', '\x18', '\x1a', '\n', ''];
/** Carried out, passed over or breaking off inside a sequence: where filters and terminals part. */
const INTRUDERS = ['', '', '', '\0', '\n', '\r', '\b', '\x7f', '\x18', '\x1b', '\xc2', 'é', '\x9c'];
const BODIES = [
  ...['52;c;cm0gLXJmIC8=', '0;title', '8;;http://evil/', '50;?', '4;1;?', '$qm', '+q544e'],
  ...['6n', '21t', '18t', '2 t', 'c', '>c', '?1049h', '2J', '31m', '38;5;196m', '8m', '2K', 'K'],
  ...['1;'.repeat(200), '9'.repeat(100), ';;;;m', '\u202e', '\u200b', '<script>alert(1)</script>'],
];
const OTHERS = [
  ...['\x1b', '\x1b%@', '\x1b%G', '\x1b(0', '\x1bc', '\x1bZ', '\x1b F', '\x1b#8', '\x0e', '\x05'],
  ...['\r', '\b\b', '\t', '\n', 'text', '\u202etxt.exe', '\u2066', '\u0301'.repeat(30), '日本😀'],
  ...['\u001b[31m'.repeat(20), '&lt;img onerror=x&gt;'],
];
const RAW = [0xc2, 0x9d, 0x9b, 0x90, 0x9c, 0xff, 0xc0, 0xe0, 0xf0, 0x80, 0x1b].map((byte) =>
  Buffer.from([byte]),
);

function sequence(): string {
  const body = chance.pick(BODIES);
  const at = chance.below(body.length + 1);
  const inside = body.slice(0, at) + chance.pick(INTRUDERS) + body.slice(at);
  const start = chance.pick(STARTS);
  const broken = start.length === 2 ? start[0]! + chance.pick(INTRUDERS) + start[1]! : start;
  return broken + inside + chance.pick(ENDS);
}

function piece(): Buffer {
  return chance.pick([
    () => Buffer.from(sequence()),
    () => Buffer.from(sequence()),
    () => Buffer.from(sequence(), 'latin1'),
    () => Buffer.from(chance.pick(OTHERS)),
    () => Buffer.from(chance.pick(NASTY_TEXTS).slice(0, 40)),
    () => chance.pick(RAW),
  ])();
}

function grammatical(): Buffer {
  return Buffer.concat(Array.from({ length: 1 + chance.below(6) }, piece));
}

const corpus = Array.from({ length: CORPUS }, grammatical);
const pieces = [...RAW, ...[...STARTS, ...ENDS, ...OTHERS].map((text) => Buffer.from(text))];

/** The corpus first; then what is made of it, and what is new. */
function example(run: number): Buffer {
  if (run < CORPUS) return corpus[run]!;
  return chance.below(2) === 0 ? grammatical() : mutate(chance, chance.pick(corpus), pieces);
}

function cut(bytes: Buffer): Buffer[] {
  const at = chance.below(bytes.length + 1);
  return [bytes.subarray(0, at), bytes.subarray(at)];
}

const UNSEEN = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/u;
const CODE = '(?:[12347]|[349][0-7]|10[0-7])';
const COLOUR = new RegExp(`\x1b\\[(?:0|${CODE}(?:;${CODE})*)m`, 'g');

/** What nobody but the person may have their terminal do; undefined for none. */
function reachesBeyondScreen(shown: Buffer): string | undefined {
  return commandsIn(shown)
    .filter(
      ({ kind, text }) =>
        kind === 'string' ||
        (kind === 'csi' && text.endsWith('t') && !text.endsWith(' t')) ||
        (kind === 'escape' && text.startsWith('%')),
    )
    .map(({ kind, text }) => `${kind} ${text}`)[0];
}

function shownAsLog(parts: readonly Buffer[], colors: boolean): { text: string; hidden: number } {
  const filter = new LogTextFilter({ colors });
  const text = parts.map((part) => filter.push(part)).join('') + filter.end();
  return { text, hidden: filter.hidden };
}

function shownOnScreen(parts: readonly Buffer[]): Buffer {
  const filter = new ScreenFilter();
  return Buffer.concat(parts.map((part) => Buffer.from(filter.push(part))));
}

/** Names one run so that it can be repeated. */
const failure = (run: number, bytes: Buffer) =>
  `INTERVENE_FUZZ_SEED=${chance.seed}, run ${run}: ${JSON.stringify(bytes.toString('latin1'))}`;

describe(`output of programs (seed ${chance.seed})`, () => {
  it(`shown as a log, ${RUNS} times, has nothing a terminal acts on but colours`, () => {
    const failed: string[] = [];
    for (let run = 0; run < RUNS; run++) {
      const bytes = example(run);
      const colors = chance.below(2) === 0;
      const { text } = shownAsLog(cut(bytes), colors);
      const bare = colors ? text.replaceAll(COLOUR, '') : text;
      if (UNSEEN.test(bare)) failed.push(failure(run, bytes));
      if (run % 10 > 0) continue;
      expect(shownAsLog([bytes], colors).text, failure(run, bytes)).toBe(text);
      if (UNSEEN.test(harmless(bytes.toString()))) failed.push(failure(run, bytes));
    }
    expect(failed.slice(0, 3)).toEqual([]);
  });

  it(`on the screen of an engineer, ${RUNS} times, stays on the screen`, () => {
    const failed: string[] = [];
    for (let run = 0; run < RUNS; run++) {
      const bytes = example(run);
      const shown = shownOnScreen(cut(bytes));
      const beyond = reachesBeyondScreen(shown);
      if (beyond !== undefined) failed.push(`${beyond}: ${failure(run, bytes)}`);
      if (run % 10 > 0) continue;
      if (!shownOnScreen([bytes]).equals(shown)) failed.push(failure(run, bytes));
    }
    expect(failed.slice(0, 3)).toEqual([]);
  });

  it('recorded and shown again has nothing a terminal acts on either', () => {
    const failed: string[] = [];
    for (let run = 0; run < 5_000; run++) {
      const bytes = example(run);
      const event = JSON.stringify([1.5, 'o', bytes.toString()]);
      const line = Buffer.from(`${event}\n${bytes.toString()}\n`);
      const screen = new RecordedScreen();
      const text = cut(line)
        .map((part) => screen.push(part))
        .join('');
      const { text: shown } = shownAsLog([Buffer.from(text + screen.end())], false);
      if (UNSEEN.test(shown)) failed.push(failure(run, bytes));
    }
    expect(failed.slice(0, 3)).toEqual([]);
  });

  it.each([
    ['a million colours', '\x1b[3', '1m\x1b[32m\x1b[3', 500_000],
    ['a string that never ends', '\x1b]0;', 'x', 10_000_000],
    ['a sequence that never ends', '\x1b[', '1;', 1_000_000],
    ['lines erased from their far end', 'x'.repeat(8_000), '\x1b[2Kx', 200_000],
    ['lines erased to their end', 'x'.repeat(8_000), '\x1b[K\rx', 200_000],
    ['progress that never ends', '', '100 %\r', 500_000],
  ])('%s cost no more than they are long', (_, before, repeated, count) => {
    const filter = new LogTextFilter({ colors: true });
    const screen = new ScreenFilter();
    const perPart = Math.ceil(65_536 / repeated.length);
    const part = Buffer.from(repeated.repeat(perPart));
    let longest = Buffer.from(filter.push(Buffer.from(before))).length;
    screen.push(Buffer.from(before));
    for (let done = 0; done < count; done += perPart) {
      const text = filter.push(part);
      longest = Math.max(longest, text.length, filter.unfinishedLine.length);
      expect(screen.push(part).length).toBeLessThanOrEqual(part.length + 64);
    }
    // Nothing piles up: neither what is held back nor what one part makes of it.
    expect(longest).toBeLessThan(4 * 65_536);
  });
});
