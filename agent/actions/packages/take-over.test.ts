import { mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TriedChange } from '../../target/offline/tried-changes.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { changesToTake } from './take-over.ts';

const MIB = 1024 * 1024;

describe('what dpkg wrote in memory', () => {
  let folder: string;
  let root: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'ivk-'));
    root = join(folder, 'root');
    mkdirSync(join(root, 'usr'), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** A file without a byte on any disk. */
  const makeSparse = (path: string, bytes: number) => {
    writeFileSync(path, '');
    truncateSync(path, bytes);
  };
  const wrote = (name: string, bytes: number): TriedChange => {
    const from = join(folder, name);
    makeSparse(from, bytes);
    return { kind: 'file', path: `/usr/${name}`, isNew: true, from, stats: statSync(from) };
  };
  const take = (tried: readonly TriedChange[], maxBytes?: number) =>
    changesToTake(tried, {
      files: new TargetFiles(root),
      folders: ['/usr'],
      ...(maxBytes !== undefined && { maxBytes }),
    });
  const tooMuch = {
    reason: 'unusual_change',
    message: expect.stringContaining('memory') as string,
  };

  it('is taken over while it fits into memory', async () => {
    const tried = [wrote('a', 2 * MIB), wrote('b', 2 * MIB)];
    expect((await take(tried, 4 * MIB)).map(({ path }) => path)).toEqual(['/usr/a', '/usr/b']);
    await expect(take(tried, 4 * MIB - 1)).rejects.toMatchObject(tooMuch);
  });

  it('counts with the files in whose places it comes', async () => {
    makeSparse(join(root, 'usr/a'), 3 * MIB);
    await expect(take([wrote('a', 2 * MIB)], 4 * MIB)).rejects.toMatchObject(tooMuch);
    await expect(take([{ kind: 'gone', path: '/usr/a' }], 2 * MIB)).rejects.toMatchObject(tooMuch);
  });

  it('is never read where sparse files together have more than any memory', async () => {
    const { stats, ...one } = wrote('a', 200 * MIB) as Extract<TriedChange, { kind: 'file' }>;
    const gone = { ...one, stats, from: join(folder, 'was-read') };
    await expect(take(Array.from({ length: 20 }, () => gone))).rejects.toMatchObject(tooMuch);
  });
});
