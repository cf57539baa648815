import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { link, mkdir, open, rm } from 'node:fs/promises';
import { constants } from 'node:fs';
import { inspectDevice } from './block-device.ts';
import { findUse } from './device-use.ts';
import { LoopFixture } from './loop-fixture.ts';

describe('who uses a device', () => {
  let fixture: LoopFixture;
  beforeEach(async () => {
    fixture = await LoopFixture.create();
  });
  afterEach(() => fixture.close());

  const use = async (path: string) => findUse(await inspectDevice(path));

  it('nobody uses an image file, or a loop device that is not mounted', async () => {
    const image = await fixture.ext4('image');
    expect(await use(image)).toBeNull();
    expect(await use(await fixture.loop(image))).toBeNull();
  });

  it('a mounted device is used, and the place is named', async () => {
    const device = await fixture.loop(await fixture.ext4('image'));
    const point = await fixture.mount('-o', 'ro', device);
    expect(await use(device)).toBe(`it is mounted at ${point}`);
  });

  it('an image file behind a loop device is used, mounted or not', async () => {
    const image = await fixture.ext4('image');
    const device = await fixture.loop(image);
    expect(await use(image)).toBe(`it is behind ${device}`);
    const point = await fixture.mount(device);
    expect(await use(image)).toBe(`it is behind ${device}, and it is mounted at ${point} there`);
  });

  it('an image file that is mounted is used under every name it has', async () => {
    const image = await fixture.ext4('image');
    const other = fixture.path('other-name');
    await link(image, other);
    expect(await use(other)).toMatch('it has 2 names (hard links)');
    const device = await fixture.loop(image);
    const point = await fixture.mount(device);
    expect(await use(other)).toBe(`it is behind ${device}, and it is mounted at ${point} there`);
    await rm(image);
    expect(await use(other)).toMatch(`it may be behind ${device}, whose file (${image} (deleted))`);
  });

  it('an image file is used when it is behind a loop device by way of a bind mount', async () => {
    await mkdir(fixture.path('folder'));
    const image = await fixture.ext4('folder/image');
    const alias = await fixture.mount('--bind', fixture.path('folder'));
    const device = await fixture.loop(`${alias}/image`);
    expect(await use(image)).toBe(`it is behind ${device}`);
    await fixture.mountAt(fixture.path('folder'), '-t', 'tmpfs', 'tmpfs');
    expect(await use(`${alias}/image`)).toBe(`it is behind ${device}`);
  });

  it('a loop device is used when another name of its file is mounted', async () => {
    const image = await fixture.ext4('image');
    await link(image, fixture.path('other-name'));
    const first = await fixture.loop(image);
    const second = await fixture.loop(fixture.path('other-name'));
    await fixture.mount(second);
    expect(await use(first)).toMatch(`${second} has the same bytes: it is mounted at`);
  });

  it('a loop device is used when another over the same bytes is mounted', async () => {
    const image = await fixture.ext4('image');
    const first = await fixture.loop(image);
    const second = await fixture.loop(image);
    await fixture.mount(second);
    expect(await use(first)).toMatch(`${second} has the same bytes: it is mounted at`);
  });

  it('a loop device over other bytes of the same disk is not used', async () => {
    const image = await fixture.ext4('image', 8);
    const half = String(4 * 1024 * 1024);
    await fixture.run('truncate', '-s', '16M', image);
    const first = await fixture.loop(image, '--sizelimit', String(8 * 1024 * 1024));
    const second = await fixture.loop(image, '--offset', String(8 * 1024 * 1024));
    const overlapping = await fixture.loop(image, '--offset', half);
    await fixture.mount(first);
    expect(await use(second)).toBeNull();
    expect(await use(overlapping)).toMatch('has the same bytes');
  });

  it('a loop device on a device is used when that one is', async () => {
    const lower = await fixture.loop(await fixture.ext4('image'));
    const upper = await fixture.loop(lower);
    expect(await use(upper)).toBeNull();
    await fixture.mount('-o', 'ro', lower);
    expect(await use(upper)).toMatch(`${lower} is behind it: it is mounted at`);
  });

  it('a device that is held where no mount table shows it is used', async () => {
    const device = await fixture.loop(await fixture.ext4('image'));
    const holder = await open(device, constants.O_RDONLY | constants.O_EXCL);
    try {
      expect(await use(device)).toMatch('another program holds it');
    } finally {
      await holder.close();
    }
    expect(await use(device)).toBeNull();
  });

  it('swap space is used', async () => {
    const image = await fixture.file('swap', 1_048_576);
    await fixture.run('mkswap', image);
    const device = await fixture.loop(image);
    await fixture.run('swapon', device);
    try {
      expect(await use(device)).toBe('it is in use as swap space');
    } finally {
      await fixture.run('swapoff', device);
    }
  });
});
