import { stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeDamagedExt4, makeExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import {
  makeMetadataImage,
  MetadataUnreadableError,
  unpackMetadataImage,
} from './metadata-image.ts';
import { readClusters } from './qcow2-clusters.ts';
import { ActionFixture } from '../testing/action-fixture.ts';
import { patchFile, readBytes, sha256 } from '../testing/image-bytes.ts';

const ROOM = 16 * 1024 * 1024;

describe('an image of the metadata', () => {
  let fixture: ActionFixture;
  beforeAll(async () => {
    fixture = await ActionFixture.create();
  });
  afterAll(() => fixture.close());

  it('has the same bytes each time, and every block it has is the device’s', async () => {
    const device = fixture.path('disk');
    await makeDamagedExt4(device, { blockSize: 2048 });
    const context = await fixture.bareContext();
    const image = async (name: string) =>
      makeMetadataImage(context, {
        device,
        superblock: null,
        path: fixture.path(name),
        maxBytes: ROOM,
      });
    const first = await image('first');
    expect((await image('second')).digest).toBe(first.digest);
    expect(first.digest).toBe(`sha256:${await sha256(fixture.path('first'))}`);
    await unpackMetadataImage(context, first.path, fixture.path('copy'));
    expect((await stat(fixture.path('copy'))).size).toBe(16 * 1024 * 1024);
    let blocks = 0;
    for await (const { offset, bytes } of readClusters(first.path)) {
      blocks++;
      expect(bytes.length).toBe(2048);
      expect(bytes.equals(await readBytes(device, offset, 2048))).toBe(true);
      expect(bytes.equals(await readBytes(fixture.path('copy'), offset, 2048))).toBe(true);
    }
    expect(blocks).toBeGreaterThan(20);
  });

  it('that would need more room than it may take is given up, and leaves nothing', async () => {
    const device = fixture.path('disk');
    await makeExt4(device);
    const path = fixture.path('too-large');
    const made = makeMetadataImage(await fixture.bareContext(), {
      device,
      superblock: null,
      path,
      maxBytes: 50_000,
    });
    await expect(made).rejects.toMatchObject({ reason: 'no_space' });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('that e2image would complain about for ever is given up', async () => {
    const device = fixture.path('disk');
    await makeExt4(device);
    await patchFile(device, 2048, Buffer.alloc(1024, 0x9c));
    const path = fixture.path('endless');
    const made = makeMetadataImage(await fixture.bareContext(), {
      device,
      superblock: null,
      path,
      maxBytes: ROOM,
    });
    await expect(made).rejects.toBeInstanceOf(MetadataUnreadableError);
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
