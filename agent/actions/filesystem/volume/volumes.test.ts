import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, open, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FilesystemResult } from '../../../../proto/actions/filesystem.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { PLAN_FILE } from '../../../jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { Jobs } from '../../../jobs/job.ts';
import { makeDiskImage, withMountedPartition } from '../../../target/testing/disk-image.ts';

const MIB = 1024 * 1024;
/** The smallest that both mkfs.xfs and mkfs.btrfs take. */
const SIZE = 320;
const START = MIB;

let folder: string;
let image: string;
let fixture: JobsFixture;
let jobs: Jobs;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'ivv-')));
  image = join(folder, 'disk.img');
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
});
afterEach(async () => {
  await fixture.close();
  await rm(folder, { recursive: true, force: true });
});

const window = { offset: START, bytes: SIZE * MIB };
const make = (format: 'ext4' | 'xfs' | 'btrfs') =>
  makeDiskImage(image, 'gpt', [{ mebibytes: SIZE, format, files: { '/a/b': 'text' } }]);
const digest = async () =>
  createHash('sha256')
    .update(await readFile(image))
    .digest('hex');

async function overwrite(offset: number, bytes: Uint8Array): Promise<void> {
  const file = await open(image, 'r+');
  await file.write(bytes, 0, bytes.length, START + offset);
  await file.close();
}

/** For programs that know no partitions. */
function onPartition(argv: readonly string[]): string {
  const loop = execFileSync(
    'losetup',
    ['--find', '--show', '--offset', String(START), '--sizelimit', String(SIZE * MIB), image],
    { encoding: 'utf8' },
  ).trim();
  try {
    const stdio = ['ignore', 'pipe', 'ignore'] as const;
    return execFileSync(argv[0]!, [...argv.slice(1), loop], {
      stdio: [...stdio],
      encoding: 'utf8',
    });
  } finally {
    execFileSync('losetup', ['--detach', loop]);
  }
}

async function makeInside(argv: readonly string[]): Promise<void> {
  await makeDiskImage(image, 'gpt', [{ mebibytes: SIZE }]);
  onPartition(argv);
}

/** What a power cut leaves: the bytes of the disk while the file system is in use. */
async function cutPower(): Promise<void> {
  const copy = join(folder, 'copy.img');
  await withMountedPartition(image, window, async (point) => {
    for (let n = 0; n < 40; n++) writeFileSync(join(point, `order-${n}`), `order ${n}\n`);
    execFileSync('sync', ['--file-system', point]);
    execFileSync('rm', [join(point, 'order-3')]);
    execFileSync('sync', [join(point, 'order-4')]);
    copyFileSync(image, copy);
  });
  image = copy;
}

async function order(change: Partial<JobSpec>) {
  const spec = {
    action: 'filesystem.repair',
    target: { disk: image },
    parameters: { partition: 1 },
    maxRuntimeSeconds: 300,
    ...change,
  };
  const job = await jobs.start(fixture.spec(spec), {});
  const { outcome, reason, result } = await ended(job);
  const said = (await output(job, 'note')).toString();
  return {
    id: job.id,
    outcome,
    reason,
    said,
    result: result as unknown as FilesystemResult | null,
  };
}

async function plan() {
  const job = await order({ mode: 'plan' });
  if (job.outcome !== 'succeeded') return { ...job, bytes: '', plan: null };
  const bytes = await readFile(join(fixture.directory(job.id), PLAN_FILE));
  return {
    ...job,
    bytes: bytes.toString('base64'),
    plan: JSON.parse(bytes.toString('utf8')) as Plan,
  };
}

const check = async () => (await order({ action: 'filesystem.check' })).result?.outcome;

/** Broken, planned without a change, repaired, found clean, nothing more to do, and put back. */
async function expectRepairedAndPutBack(): Promise<void> {
  const broken = await digest();
  expect(await check()).toBe('errors_left');
  const planned = await plan();
  expect(
    planned.plan?.steps.map(({ id }) => id),
    planned.said,
  ).toEqual(['save', 'repair', 'verify']);
  expect(await digest()).toBe(broken);
  const done = await order({ plan: planned.bytes });
  expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'corrected']);
  expect(await check()).toBe('clean');
  expect((await plan()).plan?.steps).toEqual([]);
  const undone = await order({ mode: 'undo', undoes: done.id });
  expect([undone.reason, undone.result?.outcome], undone.said).toEqual([null, 'restored']);
  expect(await digest()).toBe(broken);
}

describe('a partition of a disk', () => {
  it('with a damaged ext4 is repaired, and the undo gives every byte back', async () => {
    await make('ext4');
    await overwrite(1024, new Uint8Array(1024));
    const broken = await digest();
    const planned = await plan();
    expect(planned.plan?.target).toMatchObject({ offline: { disk: image } });
    const done = await order({ plan: planned.bytes });
    expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'corrected']);
    expect(await check()).toBe('clean');
    await order({ mode: 'undo', undoes: done.id });
    expect(await digest()).toBe(broken);
  }, 120_000);

  it('with a dirty FAT is put in order', async () => {
    await makeInside(['mkfs.fat', '-F', '32']);
    await overwrite(65, Uint8Array.of(1));
    await expectRepairedAndPutBack();
  }, 120_000);

  it('with an XFS that was cut off has its log written out', async () => {
    await make('xfs');
    await cutPower();
    const planned = await plan();
    expect(planned.plan?.summary).toMatch('Write out the journal');
    await expectRepairedAndPutBack();
  }, 120_000);

  it('with an XFS without its first superblock is repaired from the others', async () => {
    await make('xfs');
    await overwrite(0, new Uint8Array(512));
    await expectRepairedAndPutBack();
  }, 120_000);

  it('with a Btrfs without its first superblock is repaired from the others', async () => {
    await make('btrfs');
    await overwrite(64 * 1024, new Uint8Array(4096));
    await expectRepairedAndPutBack();
  }, 120_000);

  it('with an NTFS without its boot sector gets it back from its copy', async () => {
    await makeInside(['mkntfs', '--fast', '--force', '--quiet']);
    await overwrite(0, new Uint8Array(512));
    await expectRepairedAndPutBack();
  }, 120_000);

  it('with a Btrfs whose trees are damaged is left to a specialist', async () => {
    await make('btrfs');
    const superblock = (await readFile(image)).subarray(START + 64 * 1024);
    // The root of its trees, and where the copies of it lie (struct btrfs_super_block).
    const root = String(superblock.readBigUInt64LE(0x50));
    const mapped = onPartition(['btrfs-map-logical', '--logical', root]);
    const places = [...mapped.matchAll(/physical (\d+)/g)].map(([, at]) => Number(at));
    expect(places.length).toBeGreaterThan(0);
    for (const at of places) await overwrite(at, new Uint8Array(4096));
    const broken = await digest();
    const planned = await plan();
    expect([planned.outcome, await digest()]).toEqual(['failed', broken]);
    expect(['needs_specialist', 'errors_left']).toContain(planned.reason);
  }, 120_000);

  it('that is not there is refused by its number', async () => {
    await make('ext4');
    const { reason, said } = await order({ mode: 'plan', parameters: { partition: 3 } });
    expect(reason).toBe('partition_missing');
    expect(said).toMatch('has no partition 3; it has 1');
  });

  it('that was used since is not put back', async () => {
    await makeInside(['mkfs.fat', '-F', '32']);
    await overwrite(65, Uint8Array.of(1));
    const done = await order({ plan: (await plan()).bytes });
    await overwrite(SIZE * MIB - 4096, Uint8Array.of(7));
    const used = await digest();
    const undone = await order({ mode: 'undo', undoes: done.id });
    expect([undone.reason, await digest()]).toEqual(['changed_since', used]);
  }, 120_000);
});
