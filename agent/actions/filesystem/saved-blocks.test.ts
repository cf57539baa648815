import { mkdtemp, open, rm, truncate, writeFile, type FileHandle } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { digestDevice } from './device-digest.ts';
import { readDevice } from './device-io.ts';
import { isMixtureOf, SavedBlocks } from './saved-blocks.ts';
import { patchFile, readBytes, sha256 } from './testing/image-bytes.ts';

const BYTES = 5 * 1024 * 1024 + 700;
/** One over the border of pieces, one at the very end. */
const RANGES = [
  [512, 1024],
  [900_000, 2_300_000],
  [BYTES - 700, 700],
] as const;

describe('saved blocks', () => {
  let folder: string;
  let device: FileHandle;
  const path = (name: string) => join(folder, name);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ivb-'));
    await writeFile(path('device'), randomBytes(BYTES));
    device = await open(path('device'), 'r+');
  });
  afterEach(async () => {
    await device.close();
    await rm(folder, { recursive: true });
  });

  const save = (name: string) =>
    SavedBlocks.save(path(name), RANGES, (offset, bytes) =>
      readDevice(device, Buffer.alloc(bytes), offset, bytes),
    );
  const scribble = async () => {
    for (const [start, bytes] of RANGES) await patchFile(path('device'), start, randomBytes(bytes));
  };

  it('bring every byte back, and write only what differs', async () => {
    const original = await sha256(path('device'));
    const saved = await save('before');
    expect(saved.digest).toBe(`sha256:${await sha256(path('before'))}`);
    await scribble();
    const blocks = await SavedBlocks.open(path('before'));
    expect(await blocks.isOn(device)).toBe(false);
    expect(await blocks.restore(device)).toBe(1024 + 2_300_000 + 700);
    expect(await sha256(path('device'))).toBe(original);
    expect(await blocks.isOn(device)).toBe(true);
    expect(await blocks.restore(device)).toBe(0);
    await blocks.close();
  });

  it('never replace saved blocks that are there', async () => {
    await save('before');
    await expect(save('before')).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it('that are not whole, or something else, are refused', async () => {
    const { bytes } = await save('before');
    await truncate(path('before'), bytes - 1);
    await expect(SavedBlocks.open(path('before'))).rejects.toThrow('not whole');
    await expect(SavedBlocks.open(path('device'))).rejects.toThrow('holds no saved blocks');
  });

  it('know a mixture of before and after from anything else', async () => {
    await save('before');
    await scribble();
    await save('after');
    const before = await SavedBlocks.open(path('before'));
    const after = await SavedBlocks.open(path('after'));
    expect(await isMixtureOf(device, before, after)).toBe(true);
    const old = await before.pieces().next();
    await patchFile(path('device'), 512, old.value!.bytes.subarray(0, 512));
    expect(await isMixtureOf(device, before, after)).toBe(true);
    await patchFile(path('device'), 900_100, Buffer.from('a third thing'));
    expect(await isMixtureOf(device, before, after)).toBe(false);
    await before.close();
    await after.close();
  });

  it('are all that the digest of the rest leaves out', async () => {
    const context = { signal: new AbortController().signal, progress: () => undefined };
    const first = await digestDevice(context, device, BYTES, RANGES);
    expect(first.whole).toBe(`sha256:${await sha256(path('device'))}`);
    await scribble();
    const second = await digestDevice(context, device, BYTES, RANGES);
    expect(second.outside).toBe(first.outside);
    expect(second.whole).not.toBe(first.whole);
    const borders = RANGES.flatMap(([start, bytes]) => [start - 1, start + bytes]);
    for (const at of borders.filter((border) => border < BYTES)) {
      const [byte] = await readBytes(path('device'), at, 1);
      await patchFile(path('device'), at, Buffer.from([byte! ^ 1]));
      const changed = await digestDevice(context, device, BYTES, RANGES);
      expect(changed.outside).not.toBe(first.outside);
      await patchFile(path('device'), at, Buffer.from([byte!]));
    }
    expect((await digestDevice(context, device, BYTES, RANGES)).outside).toBe(first.outside);
  });

  it('are not read further once the job is told to stop', async () => {
    const stopped = { signal: AbortSignal.abort(), progress: () => undefined };
    await expect(digestDevice(stopped, device, BYTES, [])).rejects.toMatchObject({
      reason: 'stopped',
    });
  });
});
