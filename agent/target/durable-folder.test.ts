import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceNumber } from './block-device.ts';
import { inspectFolder } from './durable-folder.ts';
import { LoopFixture } from './loop-fixture.ts';

describe('where the files of a folder are', () => {
  let fixture: LoopFixture;
  beforeAll(async () => {
    fixture = await LoopFixture.create();
  });
  afterAll(() => fixture.close());

  it('a tmpfs is memory, and has no more room than the machine can spare', async () => {
    const point = await fixture.mount('-t', 'tmpfs', '-o', 'size=1m', 'tmpfs');
    const found = await inspectFolder(point);
    expect(found).toMatchObject({ medium: 'memory', type: 'tmpfs', totalBytes: 1_048_576 });
    expect(found.freeBytes).toBeLessThanOrEqual(1_048_576);
    const huge = await fixture.mount('-t', 'tmpfs', '-o', 'size=100t', 'tmpfs');
    expect((await inspectFolder(huge)).freeBytes).toBeLessThan(2 ** 44);
  });

  it('a file system on a loop device is as durable as what the file behind it lies on', async () => {
    const memory = await fixture.mount('-t', 'tmpfs', '-o', 'size=20m', 'tmpfs');
    const image = await fixture.ext4('image', 16);
    const copy = join(memory, 'image');
    await fixture.run('cp', image, copy);
    const inMemory = await fixture.mount(await fixture.loop(copy));
    expect((await inspectFolder(inMemory)).medium).toBe('memory');
    const device = await fixture.loop(image);
    const mounted = await inspectFolder(await fixture.mount(device));
    expect(mounted.medium).toBe((await inspectFolder(fixture.folder)).medium);
    expect(mounted.device).toEqual(deviceNumber((await stat(device)).rdev));
  });

  it('an overlay is as durable as its upper folder', async () => {
    const memory = await fixture.mount('-t', 'tmpfs', '-o', 'size=2m', 'tmpfs');
    await fixture.run('mkdir', ...['lower', 'upper', 'work'].map((name) => join(memory, name)));
    const folders = `lowerdir=${memory}/lower,upperdir=${memory}/upper,workdir=${memory}/work`;
    const overlay = await fixture.mount('-t', 'overlay', '-o', folders, 'overlay');
    expect((await inspectFolder(overlay)).medium).toBe('memory');
  });

  it('what is no folder is an error', async () => {
    const file = await fixture.file('plain', 1);
    await expect(inspectFolder(file)).rejects.toThrow('is not a folder');
    await expect(inspectFolder(fixture.path('none'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
