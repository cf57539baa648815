import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { VolumeDisk } from '../testing/volume-disk.ts';

let disk: VolumeDisk;
beforeEach(async () => {
  disk = await (await VolumeDisk.create('ext4')).fill();
});
afterEach(() => disk.close());

describe('a partition of a disk', { timeout: 120_000 }, () => {
  it('with an ext4 without its first superblock is repaired, and undone to the same bytes', async () => {
    await disk.overwrite(1024, new Uint8Array(1024));
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.target).toMatchObject({ offline: { disk: disk.image } });
  });

  it('that is not there is refused by its number', async () => {
    const { reason, said } = await disk.plan({ partition: 3 });
    expect(reason).toBe('partition_missing');
    expect(said).toMatch('has no partition 3; it has 1');
  });

  it('with another file system than XFS takes no word about its log', async () => {
    await disk.overwrite(1024, new Uint8Array(1024));
    const { reason } = await disk.plan({ partition: 1, discardLog: true });
    expect(reason).toBe('parameter_not_applicable');
  });
});
