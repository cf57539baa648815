import { describe, expect, it } from 'vitest';
import { E2fsckProgress, e2fsckCommand, latestStamp, presentFor, runE2fsck } from './e2fsck.ts';
import type { Superblock } from './superblock.ts';
import { ActionFixture } from '../testing/action-fixture.ts';

describe('the progress of e2fsck', () => {
  function percents(...pieces: string[]): number[] {
    const seen: number[] = [];
    const progress = new E2fsckProgress((percent) => seen.push(percent));
    for (const piece of pieces) progress.take(Buffer.from(piece));
    return seen;
  }

  it('weighs the passes as the tool’s own bar does', () => {
    expect(percents('1 0 4 d\n', '1 2 4 d\n', '2 0 10 d\n', '2 5 10 d\n', '5 8 8 d\n')).toEqual([
      0, 35, 70, 80, 100,
    ]);
  });

  it('reads lines that come in pieces, and of several the last', () => {
    expect(percents('1 1', ' 4 d\n1 2 4 d\n1 3 ', '4 d\n')).toEqual([35, 52]);
  });

  it('never goes back, and passes over what is no progress', () => {
    expect(
      percents('3 0 1 d\n', '1 0 4 d\n', 'x\n', '9 1 1 d\n', '5 0 0 d\n', '4 1 1 d\n'),
    ).toEqual([90, 95]);
  });
});

describe('the present e2fsck is told', () => {
  const year = 365 * 24 * 3600;
  const clock = Math.floor(Date.now() / 1000);
  const superblock = (stamps: Partial<Superblock>) =>
    ({ madeAt: 0, mountedAt: 0, writtenAt: 0, checkedAt: 0, ...stamps }) as Superblock;

  it('is that of the clock, unless the file system knows better', () => {
    expect(presentFor(superblock({ writtenAt: clock - year }))).toBeGreaterThanOrEqual(clock);
    expect(presentFor(superblock({ mountedAt: clock + year }))).toBe(clock + year);
  });

  it('is the same each time for a rehearsal, and no stamp from beyond counts', () => {
    expect(latestStamp(superblock({ madeAt: clock - year, checkedAt: clock - 5 }))).toBe(clock - 5);
    expect(latestStamp(superblock({ mountedAt: clock, writtenAt: 2 ** 34 }))).toBe(clock);
    expect(latestStamp(superblock({}))).toBeGreaterThan(0);
  });
});

describe('running e2fsck', () => {
  it('is told what to do in its own words', () => {
    const superblock = { block: 32768, blockSize: 4096 };
    expect(e2fsckCommand({ device: '/d', mode: 'look', superblock: null })).toEqual([
      'e2fsck',
      '-fn',
      '-C',
      '3',
      '/d',
    ]);
    expect(e2fsckCommand({ device: '/d', mode: 'repair', superblock, undoFile: '/u' })).toEqual([
      'e2fsck',
      '-fy',
      '-C',
      '3',
      '-b',
      '32768',
      '-B',
      '4096',
      '-z',
      '/u',
      '/d',
    ]);
  });

  it('where it is not installed fails with a reason of its own', async () => {
    const fixture = await ActionFixture.create();
    try {
      const onStart = () => ['no-such-e2fsck'];
      const context = await fixture.bareContext({ onStart });
      const run = runE2fsck(context, {
        device: '/nowhere',
        mode: 'look',
        superblock: null,
        now: 1_700_000_000,
        isLogged: false,
        phase: 'checking',
      });
      await expect(run).rejects.toMatchObject({ reason: 'tool_missing' });
    } finally {
      await fixture.close();
    }
  });
});
