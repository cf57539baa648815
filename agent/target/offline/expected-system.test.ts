import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { DiskJobs } from '../../jobs/disk-jobs-fixture.ts';
import { makeDiskImage, smallSystem } from '../testing/disk-image.ts';

const MIB = 1024 * 1024;
const CHECK = { action: 'filesystem.check', parameters: { partition: 1 } };
const SHOP_ID = Buffer.from('shop').toString('hex').padEnd(32, '0');

let folder: string;
let jobs: DiskJobs;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ivx-'));
  const image = join(folder, 'disk.img');
  await makeDiskImage(image, 'gpt', [
    { mebibytes: 32, format: 'ext4', files: smallSystem('shop', '') },
  ]);
  jobs = await DiskJobs.on(image);
});
afterEach(async () => {
  await jobs.close();
  rmSync(folder, { recursive: true });
});

it.each([
  { hostname: 'shop' },
  { machineId: SHOP_ID },
  { hostname: 'shop', machineId: SHOP_ID },
  { serial: 'of the machine, which is compared before' },
])(
  'a file system is worked on where the system beside it is the one of the order: %j',
  async (it) => {
    expect(await jobs.order({ ...CHECK, expect: it })).toMatchObject({
      result: { outcome: 'clean' },
    });
  },
);

it.each([
  [{ hostname: 'blog' }, 'the order expects the host name blog; the system on the disks has shop'],
  [{ hostname: 'shop', machineId: 'f'.repeat(32) }, 'expects the machine id ffff'],
])('and is left alone where it is another: %j', async (it, why) => {
  const done = await jobs.order({ ...CHECK, expect: it });
  expect(done).toMatchObject({ outcome: 'failed', reason: 'identity_mismatch' });
  expect(done.said).toContain(why);
});

it('and is left alone where the order names a system that is not there', async () => {
  const target = {
    disk: join(folder, 'disk.img'),
    filesystem: 'a0000000-0000-4000-8000-0000000000',
  };
  const done = await jobs.order({ ...CHECK, target });
  expect(done).toMatchObject({ outcome: 'failed', reason: 'system_missing' });
});

it('and is worked on where nothing can be read, which the log says', async () => {
  const disk = await open(join(folder, 'disk.img'), 'r+');
  await disk.write(Buffer.alloc(1024), 0, 1024, MIB + 1024);
  await disk.close();
  const done = await jobs.order({ ...CHECK, expect: { hostname: 'blog' } });
  expect(done.result).toMatchObject({ outcome: 'errors_left' });
  expect(done.said).toContain('Which system this is was not compared with the order');
});
