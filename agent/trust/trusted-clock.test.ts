import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acceptTime, JUMP_LIMIT_MS, TimeMarkError, TrustedClock } from './trusted-clock.ts';
import type { TimeSource } from './trusted-clock.ts';

const HOUR = 3_600_000;
const START = 1_800_000_000_000;

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivtc-'));
  file = path.join(folder, 'time-mark');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Clocks that a test sets. Time passes on both; the wall clock can be set. */
function clocks(
  wallMs = START,
): TimeSource & { pass(ms: number): void; setWall(ms: number): void } {
  let wall = wallMs;
  let monotonic = 5000;
  return {
    wallMs: () => wall,
    monotonicMs: () => monotonic,
    pass: (ms) => {
      wall += ms;
      monotonic += ms;
    },
    setWall: (ms) => {
      wall = ms;
    },
  };
}

describe('trusted time', () => {
  it('begins with the wall clock', async () => {
    const clock = await TrustedClock.open(file, { source: clocks() });
    expect(clock.read()).toEqual({ nowMs: START, now: START / 1000, jumped: false });
  });

  it('begins no earlier than its image was built', async () => {
    const clock = await TrustedClock.open(file, { source: clocks(0), floorMs: START });
    expect(clock.read()).toEqual({ nowMs: START, now: START / 1000, jumped: false });
  });

  it('in a rescue environment begins with a wall clock years after its image', async () => {
    const floorMs = START - 1000 * 24 * HOUR;
    const clock = await TrustedClock.open(file, { source: clocks(), floorMs });
    expect(clock.read()).toMatchObject({ nowMs: START, jumped: false });
  });

  it('passes', async () => {
    const source = clocks();
    const clock = await TrustedClock.open(file, { source });
    source.pass(1500);
    expect(clock.read()).toEqual({ nowMs: START + 1500, now: START / 1000 + 1, jumped: false });
    expect(clock.nowMs()).toBe(START + 1500);
  });

  it('follows the wall clock forward by less than a day', async () => {
    const source = clocks();
    const clock = await TrustedClock.open(file, { source });
    source.setWall(START + JUMP_LIMIT_MS);
    expect(clock.read()).toMatchObject({ nowMs: START + JUMP_LIMIT_MS, jumped: false });
  });

  it.each([
    ['by a second', START - 1000],
    ['by ten years', START - 3650 * 24 * HOUR],
    ['to 1970', 0],
  ])('does not follow the wall clock back %s', async (_what, wall) => {
    const source = clocks();
    const clock = await TrustedClock.open(file, { source });
    source.setWall(wall);
    source.pass(2000);
    expect(clock.read()).toMatchObject({ nowMs: START + 2000, jumped: false });
  });

  it.each([
    ['by a day and a millisecond', START + JUMP_LIMIT_MS + 1],
    ['to 2038', 2_147_483_648_000],
    ['by ten years', START + 3650 * 24 * HOUR],
  ])('stands by what it knows when the wall clock jumps %s', async (_what, wall) => {
    const source = clocks();
    const clock = await TrustedClock.open(file, { source });
    source.setWall(wall);
    expect(clock.read()).toEqual({ nowMs: START, now: START / 1000, jumped: true });
    source.pass(3000);
    expect(clock.read()).toMatchObject({ nowMs: START + 3000, jumped: true });
    source.setWall(START + 4000);
    expect(clock.read()).toMatchObject({ nowMs: START + 4000, jumped: false });
  });

  it('goes on after a restart, also with a wall clock set back', async () => {
    const source = clocks();
    const first = await TrustedClock.open(file, { source });
    source.pass(HOUR);
    first.read();
    await first.save();
    const second = await TrustedClock.open(file, { source: clocks(0) });
    expect(second.read()).toMatchObject({ nowMs: START + HOUR, jumped: false });
  });

  it('has jumped after a restart over a day later', async () => {
    await TrustedClock.open(file, { source: clocks() });
    const later = await TrustedClock.open(file, { source: clocks(START + 25 * HOUR) });
    expect(later.read()).toMatchObject({ nowMs: START, jumped: true });
    await later.save();
    const again = await TrustedClock.open(file, { source: clocks(START + 25 * HOUR) });
    expect(again.read().jumped).toBe(true);
  });

  it('never goes back, whatever the wall clock does', async () => {
    const step = fc.record({
      pass: fc.nat({ max: HOUR }),
      wall: fc.option(fc.integer({ min: 0, max: START * 2 }), { nil: null }),
      restart: fc.boolean(),
    });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const mark = `${file}${run++}`;
        const source = clocks();
        let clock = await TrustedClock.open(mark, { source });
        let last = clock.read();
        for (const { pass, wall, restart } of steps) {
          source.pass(pass);
          if (wall !== null) source.setWall(wall);
          if (restart) {
            await clock.save();
            clock = await TrustedClock.open(mark, { source });
          }
          const next = clock.read();
          expect(next.nowMs).toBeGreaterThanOrEqual(last.nowMs);
          expect(next.nowMs - last.nowMs).toBeLessThanOrEqual(JUMP_LIMIT_MS + pass);
          last = next;
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('local root', () => {
  it('makes a jump believed, while the agent runs', async () => {
    const source = clocks();
    const clock = await TrustedClock.open(file, { source });
    source.setWall(START + 48 * HOUR);
    expect(clock.read().jumped).toBe(true);
    await acceptTime(file, source);
    expect(clock.read()).toMatchObject({ nowMs: START + 48 * HOUR, jumped: false });
  });

  it('makes a jump believed for the next start', async () => {
    await TrustedClock.open(file, { source: clocks() });
    const source = clocks(START + 48 * HOUR);
    await acceptTime(file, source);
    expect((await TrustedClock.open(file, { source })).read()).toMatchObject({
      nowMs: START + 48 * HOUR,
      jumped: false,
    });
  });

  it('sets back a mark that is too far ahead, and the running agent does not overwrite it', async () => {
    const source = clocks();
    const clock = await TrustedClock.open(file, { source });
    source.setWall(START - 10 * HOUR);
    await acceptTime(file, source);
    await clock.save();
    expect(clock.read().nowMs).toBe(START - 10 * HOUR);
    const next = await TrustedClock.open(file, { source });
    expect(next.read().nowMs).toBe(START - 10 * HOUR);
  });

  it('repairs a damaged mark, more than once', async () => {
    await writeFile(file, 'junk');
    const source = clocks();
    await acceptTime(file, source);
    const clock = await TrustedClock.open(file, { source });
    source.setWall(START + 48 * HOUR);
    await acceptTime(file, source);
    expect(clock.read()).toMatchObject({ nowMs: START + 48 * HOUR, jumped: false });
  });

  it('sets the mark where there was none', async () => {
    await acceptTime(file, clocks());
    expect(JSON.parse(await readFile(file, 'utf8'))).toEqual({ mark: START, accepted: 1 });
  });

  it('is believed by the clock of this machine', async () => {
    await acceptTime(file);
    const clock = await TrustedClock.open(file);
    expect(Math.abs(clock.nowMs() - Date.now())).toBeLessThan(5000);
  });
});

describe('a damaged mark', () => {
  it.each(['', '{}', '{"mark":-1,"accepted":0}', '{"mark":1,"accepted":0,"more":1}', 'null'])(
    '%j is no time',
    async (text) => {
      await writeFile(file, text);
      await expect(TrustedClock.open(file, { source: clocks() })).rejects.toThrow(TimeMarkError);
    },
  );

  it('that cannot be read is no time', async () => {
    await expect(TrustedClock.open(folder, { source: clocks() })).rejects.toThrow(TimeMarkError);
    await expect(acceptTime(folder, clocks())).rejects.toThrow(/./);
    const left = await readdir(path.dirname(folder));
    expect(left.filter((name) => name.startsWith(`${path.basename(folder)}.`))).toEqual([]);
  });
});
