import { describe, expect, it } from 'vitest';
import type { StorageProblem } from '../../target/offline/stack/storage-problem.ts';
import { parametersFor, volumeAt } from './named-volume.ts';

const LVM = '/dev/disk/by-id/dm-uuid-LVM-';
const volume = (name: string, ...paths: string[]) =>
  ({ name, paths, layers: ['LUKS', 'LVM'], partition: null }) as unknown as Parameters<
    typeof volumeAt
  >[0]['volumes'][number];
const root = volume('logical volume shop/root', '/dev/shop/root', `${LVM}1`);
const data = volume('logical volume shop/data', '/dev/shop/data', `${LVM}2`);
const copy = volume('logical volume shop/root', '/dev/shop/root', `${LVM}3`);
const closed: StorageProblem = {
  reason: 'disk_key_missing',
  ...{ subject: 'partition 2 of /dev/vdb', why: 'it is encrypted', command: 'cryptsetup' },
};

describe('a volume of disks', () => {
  it('is named by any path that its system has for it', () => {
    const open = { volumes: [root, data], problems: [] };
    expect(volumeAt(open, '/dev/shop/root')).toBe(root);
    expect(volumeAt(open, `${LVM}2`)).toBe(data);
  });

  it('that is not there is told of with those that are', () => {
    const open = { volumes: [root, volume('partition 1 of /dev/vdb')], problems: [] };
    expect(() => volumeAt(open, '/dev/shop/x')).toThrow(
      expect.objectContaining({
        reason: 'volume_missing',
        message: '/dev/shop/x is on none of the disks; there are: /dev/shop/root',
      }),
    );
  });

  it('that is not there beside something closed is missing for that reason', () => {
    expect(() => volumeAt({ volumes: [], problems: [closed] }, '/dev/shop/root')).toThrow(
      expect.objectContaining({
        reason: 'disk_key_missing',
        message:
          '/dev/shop/root is on none of the disks; there are: none. partition 2 of /dev/vdb: it is encrypted',
      }),
    );
  });

  it('whose path two have is never guessed: each has a path of its own', () => {
    const open = { volumes: [root, data, copy], problems: [] };
    expect(() => volumeAt(open, '/dev/shop/root')).toThrow(
      expect.objectContaining({
        reason: 'volume_ambiguous',
        message: expect.stringMatching(
          /name one as \S+LVM-1 \(.* \(LVM on LUKS\)\) or \S+LVM-3/,
        ) as string,
      }),
    );
    expect(volumeAt(open, `${LVM}3`)).toBe(copy);
  });
});

describe('a piece of a disk', () => {
  const piece = (disk: string, partition: number | null) =>
    ({
      name: `partition ${partition} of ${disk}`,
      paths: [],
      layers: [],
      disk,
      partition,
    }) as never;
  const [first, second, whole] = [
    piece('/dev/sda', 1),
    piece('/dev/sdb', 1),
    piece('/dev/sdc', null),
  ];
  const several = { volumes: [first, second, whole, root, copy], disks: [{}, {}, {}] as never };

  it('is named by its number where there is one disk', () => {
    const image = piece('/srv/disk.img', 2);
    const open = { volumes: [image, root], disks: [{}] as never };
    expect(parametersFor(image, open)).toEqual({ partition: 2 });
    expect(parametersFor(root, open)).toEqual({ volume: '/dev/shop/root' });
    expect(parametersFor(piece('/srv/disk.img', null), open)).toBeNull();
  });

  it('is named with its disk where there are several, and what has the same name by its own', () => {
    for (const [volume, path] of [
      [first, '/dev/sda1'],
      [second, '/dev/sdb1'],
      [whole, '/dev/sdc'],
      [root, `${LVM}1`],
      [copy, `${LVM}3`],
    ] as const) {
      expect(parametersFor(volume, several)).toEqual({ volume: path });
      expect(volumeAt({ ...several, problems: [] }, path)).toBe(volume);
    }
  });
});
