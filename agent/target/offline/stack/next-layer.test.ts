import { describe, expect, it } from 'vitest';
import type { Volume } from '../volumes.ts';
import { nextLayer } from './next-layer.ts';

const volume = (name: string, type: string | null): Volume => ({
  ...{
    name,
    type,
    node: `/d/${name}`,
    device: `/dev/${name}`,
    disk: null,
    disks: [],
    layers: [],
    paths: [],
  },
  ...{ partition: null, startBytes: 0, bytes: 1, uuid: null, label: null, problem: null },
  ...{ partitionType: null, partitionUuid: null, partitionLabel: null },
});
const names = (volumes: readonly Volume[], done: readonly Volume[] = []) => {
  const layer = nextLayer(volumes, new Set(done));
  return layer && [layer.kind, ...layer.volumes.map(({ name }) => name)];
};

describe('what is opened next', () => {
  it('is RAID, then LUKS, then LVM', () => {
    const lvm = volume('c', 'LVM2_member');
    const luks = volume('b', 'crypto_LUKS');
    const raid = [volume('a', 'linux_raid_member'), volume('d', 'linux_raid_member')];
    const all = [lvm, luks, ...raid];
    expect(names(all)).toEqual(['raid', 'a', 'd']);
    expect(names(all, raid)).toEqual(['luks', 'b']);
    expect(names(all, [...raid, luks])).toEqual(['lvm', 'c']);
    expect(names(all, all)).toBeNull();
  });

  it('is a RAID again that came out of another layer', () => {
    const outer = volume('outer', 'LVM2_member');
    const inner = volume('inner', 'linux_raid_member');
    expect(names([outer, inner], [outer])).toEqual(['raid', 'inner']);
  });

  it('is nothing on disks with plain file systems', () => {
    expect(names([volume('a', 'ext4'), volume('b', null), volume('c', 'swap')])).toBeNull();
  });
});
