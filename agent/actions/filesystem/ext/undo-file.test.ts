import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeDamagedExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { makeManyProblems } from '../testing/many-problems.ts';
import { patchFile, readBytes, sha256 } from '../testing/image-bytes.ts';
import { readUndoFile } from './undo-file.ts';

const execute = promisify(execFile);

describe('an undo file of e2fsck', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ivu-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function repair(): Promise<string> {
    await copyFile(path('damaged'), path('repaired'));
    await rm(path('undo'), { force: true });
    await execute('e2fsck', ['-fy', '-z', path('undo'), path('repaired')]).catch(() => undefined);
    return path('undo');
  }

  it.each([
    ['small blocks', (image: string) => makeDamagedExt4(image)],
    ['large blocks', (image: string) => makeDamagedExt4(image, { blockSize: 4096 })],
    ['many index blocks', (image: string) => makeManyProblems(image)],
  ])('has every old byte, with %s', async (_, make) => {
    await make(path('damaged'));
    const index = await readUndoFile(await repair());
    expect(index?.isComplete).toBe(true);
    for (const { deviceOffset, bytes, fileOffset } of index!.entries) {
      const old = await readBytes(path('undo'), fileOffset, bytes);
      expect(old.equals(await readBytes(path('damaged'), deviceOffset, bytes))).toBe(true);
      await patchFile(path('repaired'), deviceOffset, old);
    }
    expect(await sha256(path('repaired'))).toBe(await sha256(path('damaged')));
  });

  it('that was cut off gives what is whole, and says so', async () => {
    await makeDamagedExt4(path('damaged'));
    const undo = await repair();
    const whole = (await readUndoFile(undo))!.entries;
    const last = whole.toSorted((one, other) => other.fileOffset - one.fileOffset)[0]!;
    await truncate(undo, last.fileOffset + 100);
    const index = await readUndoFile(undo);
    expect(index?.isComplete).toBe(false);
    expect(index?.entries).toEqual(whole.filter((entry) => entry !== last));
  });

  it('with a damaged entry or a damaged index leaves out what cannot be trusted', async () => {
    await makeDamagedExt4(path('damaged'));
    const undo = await repair();
    const whole = (await readUndoFile(undo))!.entries;
    await patchFile(undo, whole[2]!.fileOffset + 7, Buffer.from('damage'));
    const index = await readUndoFile(undo);
    expect(index?.isComplete).toBe(false);
    expect(index?.entries).toEqual(whole.filter((entry) => entry !== whole[2]));
    await patchFile(undo, 2 * 1024 + 100, Buffer.from('damage'));
    expect(await readUndoFile(undo)).toEqual({ entries: [], isComplete: false });
  });

  it('that is not there, empty or something else is none', async () => {
    expect(await readUndoFile(path('nowhere'))).toBeNull();
    await patchFile(path('damaged'), 0, Buffer.alloc(4));
    expect(await readUndoFile(path('damaged'))).toBeNull();
  });
});
