import { symlink } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deviceNumber, inspectDevice } from './block-device.ts';
import { LoopFixture } from './loop-fixture.ts';

describe('what lies at a path', () => {
  let fixture: LoopFixture;
  beforeAll(async () => {
    fixture = await LoopFixture.create();
  });
  afterAll(() => fixture.close());

  it('an image file has its own size and no device number', async () => {
    const path = await fixture.file('image', 3000);
    expect(await inspectDevice(path)).toEqual({
      path,
      realPath: path,
      kind: 'file',
      bytes: 3000,
      number: null,
    });
  });

  it('a block device has the size of its window, also by a symlink', async () => {
    const device = await fixture.loop(await fixture.file('disk', 1_048_576), '-o', '4096');
    const link = fixture.path('by-name');
    await symlink(device, link);
    const found = await inspectDevice(link);
    expect(found).toMatchObject({ path: link, realPath: device, kind: 'block', bytes: 1_044_480 });
    expect(found.number?.major).toBe(7);
  });

  it('nothing, and what is no device, are refused by name', async () => {
    await expect(inspectDevice(fixture.path('none'))).rejects.toMatchObject({
      reason: 'device_missing',
    });
    await expect(inspectDevice('/dev/null')).rejects.toMatchObject({ reason: 'not_a_device' });
    await expect(inspectDevice(fixture.folder)).rejects.toMatchObject({ reason: 'not_a_device' });
  });

  it.each([
    [0x0803, { major: 8, minor: 3 }],
    [0xfd0a, { major: 253, minor: 10 }],
    // Minor numbers have 12 more bits above the major one.
    [0x10300305, { major: 3, minor: 0x10305 }],
    [0x1000 * 2 ** 32 + 0x10301, { major: 0x1103, minor: 1 }],
  ])('the device number %d is taken apart as the kernel means it', (encoded, expected) => {
    expect(deviceNumber(encoded)).toEqual(expected);
  });
});
