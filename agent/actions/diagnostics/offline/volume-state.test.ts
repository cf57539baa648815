import { expect, it } from 'vitest';
import type { OpenDisks } from '../../../target/offline/open-disks.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { judgeVolume } from './volume-state.ts';

const damaged = { exitStatus: 4, signal: null, timedOut: false, out: '', err: 'errors' };

function firstPartitionOf(disk: string): Volume {
  const place = { name: `partition 1 of ${disk}`, node: '/x', device: '/x', layers: [], paths: [] };
  const kind = { type: 'ext4', uuid: null, label: null, problem: null };
  const entry = { partitionType: null, partitionUuid: null, partitionLabel: null };
  const size = { startBytes: 0, bytes: 0 };
  return { ...place, ...kind, ...entry, ...size, disk, disks: [disk], partition: 1 };
}

it('a repair is suggested for the one file system that is damaged, not for its number on any disk', async () => {
  const volumes = ['/dev/sda', '/dev/sdb'].map(firstPartitionOf);
  const suggested = async (open: unknown) => {
    const look = () => Promise.resolve({ ...damaged, truncated: false } as never);
    const judged = volumes.map((one) => judgeVolume(open as OpenDisks, one, look));
    return (await Promise.all(judged)).flat().map(({ suggestion }) => suggestion!.parameters);
  };
  expect(await suggested({ volumes, disks: [{}, {}] })).toEqual([
    { volume: '/dev/sda1' },
    { volume: '/dev/sdb1' },
  ]);
  expect(await suggested({ volumes, disks: [{}] })).toContainEqual({ partition: 1 });
});
