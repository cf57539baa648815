import { closeSync, copyFileSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { VolumeDisk } from '../testing/volume-disk.ts';
import { movedTo } from './btrfs-superblock.ts';

const FIRST = 64 * 1024;
const SECOND = 64 * 1024 * 1024;
const SUPERBLOCK = 4096;
/** Fields of struct btrfs_super_block. */
const at = { root: 0x50, logRoot: 0x60, devices: 0x88 } as const;

let whole: VolumeDisk;
let disk: VolumeDisk;
beforeAll(async () => {
  whole = await (await VolumeDisk.create('btrfs')).fill();
});
afterAll(() => whole.close());
beforeEach(async () => {
  disk = await whole.copy();
});
afterEach(() => disk.close());

/** Where on the device a logical address lies, by the table of chunks. */
function placesOf(logical: number): number[] {
  const dump = disk.onPartition((device) => ['btrfs', 'ins', 'dump-tree', '-t', 'chunk', device]);
  const chunks = dump.split(/(?=\bitem \d+ key )/);
  return chunks.flatMap((chunk) => {
    const [, start] = /CHUNK_ITEM (\d+)\)/.exec(chunk) ?? [];
    const [, length] = /\blength (\d+)/.exec(chunk) ?? [];
    const within = logical - Number(start);
    if (start === undefined || within < 0 || within >= Number(length)) return [];
    return [...chunk.matchAll(/\boffset (\d+)/g)].map(([, offset]) => Number(offset) + within);
  });
}

/** Overwrites every copy of the block of a tree that the first superblock names. */
async function spoilBlock(field: number): Promise<void> {
  const root = (await disk.read(FIRST, SUPERBLOCK)).readBigUInt64LE(field);
  expect(root).not.toBe(0n);
  const places = placesOf(Number(root));
  expect(places.length).toBeGreaterThan(0);
  for (const place of places) await disk.overwrite(place, Buffer.alloc(SUPERBLOCK, 0xde));
}

/** What a power cut leaves shortly after a program has asked for its file to be on disk. */
async function cutPowerAfterSync(): Promise<void> {
  await disk.cutPower((point) => {
    const file = openSync(join(point, 'ledger'), 'w');
    writeFileSync(file, 'paid\n'.repeat(2_000));
    fsyncSync(file);
    closeSync(file);
  });
}

describe('a Btrfs file system', { timeout: 240_000 }, () => {
  it('that is clean needs nothing', async () => {
    const { result } = await disk.check();
    expect(result).toMatchObject({ outcome: 'clean', filesystem: 'btrfs', exitStatus: 0 });
    expect((await disk.plan()).plan?.steps).toEqual([]);
  });

  it('without its first superblock gets it back from its copy, to the byte', async () => {
    const well = await disk.read(FIRST, SUPERBLOCK);
    await disk.overwrite(FIRST, new Uint8Array(SUPERBLOCK));
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.summary).toContain('superblock anew from its copy');
    await disk.order({ plan: (await disk.plan()).bytes });
    expect((await disk.read(FIRST, SUPERBLOCK)).equals(well)).toBe(true);
  });

  it.runIf(isWhole)('gets the superblock that the tool of Btrfs itself would write', async () => {
    await disk.overwrite(FIRST + 100, Buffer.alloc(32, 0x55));
    const other = join(disk.folder, 'other.img');
    copyFileSync(disk.image, other);
    await disk.order({ plan: (await disk.plan()).bytes });
    const ours = await disk.digest();
    copyFileSync(other, disk.image);
    // 2 says that it has recovered (btrfs-rescue(8)).
    disk.onPartition((device) => ['btrfs', 'rescue', 'super-recover', '-y', device], [2]);
    expect(await disk.digest()).toBe(ours);
  });

  it.runIf(isWhole)(
    'whose log cannot be read has it taken out, as the tool of Btrfs does it',
    async () => {
      await cutPowerAfterSync();
      await spoilBlock(at.logRoot);
      const other = join(disk.folder, 'other.img');
      copyFileSync(disk.image, other);
      const { plan } = await disk.expectRepairedAndPutBack();
      expect(plan.findings.join('\n')).toContain('only to the log, is lost');
      await disk.order({ plan: (await disk.plan()).bytes });
      const ours = await disk.digest();
      copyFileSync(other, disk.image);
      disk.onPartition((device) => ['btrfs', 'rescue', 'zero-log', device]);
      expect(await disk.digest()).toBe(ours);
    },
  );

  it.runIf(isWhole)(
    'whose trees are damaged behind a lost log has its superblocks put back at once',
    async () => {
      await cutPowerAfterSync();
      await spoilBlock(at.logRoot);
      await spoilBlock(at.root);
      const broken = await disk.digest();
      const planned = await disk.plan();
      if (planned.plan !== null) {
        const done = await disk.order({ plan: planned.bytes });
        expect(done.reason, done.said).toBe('needs_specialist');
        expect(done.said).toContain('everything was put back');
      } else {
        expect(planned.reason, planned.said).toBe('needs_specialist');
      }
      expect(await disk.digest()).toBe(broken);
    },
  );

  it('whose trees are damaged is left to a specialist', async () => {
    await spoilBlock(at.root);
    const broken = await disk.digest();
    const checked = await disk.check();
    expect([checked.outcome, checked.result?.outcome]).toEqual(['succeeded', 'errors_left']);
    const planned = await disk.plan();
    expect([planned.reason, await disk.digest()]).toEqual(['needs_specialist', broken]);
  });

  it.runIf(isWhole)('on several devices is not judged by one of them', async () => {
    for (const place of [FIRST, SECOND]) {
      const bytes = await disk.read(place, SUPERBLOCK);
      bytes.writeBigUInt64LE(2n, at.devices);
      await disk.overwrite(place, movedTo(bytes, place));
    }
    await spoilBlock(at.root);
    expect((await disk.check()).reason).toBe('multiple_devices');
    expect((await disk.plan()).reason).toBe('multiple_devices');
  });

  it('with checksums that are not known here is left alone, with what to do by hand', async () => {
    const other = await VolumeDisk.create('btrfs', ['--csum', 'blake2']);
    try {
      await other.overwrite(FIRST, new Uint8Array(SUPERBLOCK));
      const broken = await other.digest();
      const planned = await other.plan();
      expect([planned.reason, await other.digest()]).toEqual(['checksum_not_supported', broken]);
      expect(planned.said).toContain('btrfs rescue super-recover');
    } finally {
      await other.close();
    }
  });

  it.runIf(isWhole)('without any superblock is not taken for one', async () => {
    await disk.overwrite(FIRST, new Uint8Array(SUPERBLOCK));
    await disk.overwrite(SECOND, new Uint8Array(SUPERBLOCK));
    expect((await disk.check()).reason).toBe('no_filesystem');
  });
});
