import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { OpenDisks } from '../../../target/offline/open-disks.ts';
import { must } from '../../../../test/harness/process.ts';
import { patchFile } from '../../filesystem/testing/image-bytes.ts';
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

it('no repair is suggested for what holds no file system and no copy of one', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ivv-'));
  try {
    const empty = join(folder, 'empty.img');
    const lost = join(folder, 'lost.img');
    for (const path of [empty, lost]) await writeFile(path, Buffer.alloc(64 * 1024 * 1024));
    await must(['mkfs.ext4', '-q', '-b', '1024', lost]);
    await patchFile(lost, 1024, Buffer.alloc(1024));
    const judge = (path: string) => {
      const partition = { ...firstPartitionOf('/dev/sda'), partitionType: '0x83', type: null };
      const volume = { ...partition, node: path };
      return judgeVolume({ volumes: [volume], disks: [{}] } as never, volume, notRun);
    };
    const notRun = () => Promise.reject(new Error('nothing is run'));
    expect(await judge(empty)).toMatchObject([{ rule: 'fs.unrecognised', suggestion: null }]);
    expect(await judge(lost)).toMatchObject([
      { rule: 'fs.ext4_super', suggestion: { action: 'filesystem.repair' } },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
