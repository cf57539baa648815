import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isLocked, lock, unlock, watchLock } from './lock.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivlo-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('the lock', () => {
  it('holds from lock to unlock, each of which may be said twice', async () => {
    expect(isLocked(folder)).toBe(false);
    await lock(folder);
    await lock(folder);
    expect(isLocked(folder)).toBe(true);
    await unlock(folder);
    await unlock(folder);
    expect(isLocked(folder)).toBe(false);
  });

  it('by what ends its own lock stays locked by local root, who ends both', async () => {
    await lock(folder, 'passing');
    expect(isLocked(folder)).toBe(true);
    await lock(folder);
    await unlock(folder, ['passing']);
    expect(isLocked(folder)).toBe(true);
    await lock(folder, 'passing');
    await unlock(folder);
    expect(isLocked(folder)).toBe(false);
  });

  it('holds when nobody can tell', async () => {
    const file = path.join(folder, 'file');
    await writeFile(file, '');
    expect(isLocked(file)).toBe(true);
    await rm(folder, { recursive: true });
    expect(isLocked(folder)).toBe(true);
  });

  it('is noticed within a quarter of a second, on and off', async () => {
    const seen: boolean[] = [];
    const stop = watchLock(folder, (locked) => seen.push(locked));
    try {
      await lock(folder);
      await vi.waitFor(() => expect(seen).toEqual([true]), { timeout: 30_000, interval: 10 });
      await unlock(folder);
      await vi.waitFor(() => expect(seen).toEqual([true, false]), {
        timeout: 30_000,
        interval: 10,
      });
    } finally {
      stop();
    }
  });

  it('is not reported for how things stood at the beginning, or after the watch ended', async () => {
    await lock(folder);
    const seen: boolean[] = [];
    const stop = watchLock(folder, (locked) => seen.push(locked));
    await new Promise((resolve) => setTimeout(resolve, 250));
    stop();
    await unlock(folder);
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(seen).toEqual([]);
  });
});
