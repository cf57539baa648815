import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FileRepairResult } from '../../../proto/actions/file-repair-result.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { PLAN_FILE } from '../../jobs/control-messages.ts';
import { ended, JobsFixture } from '../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import type { Jobs } from '../../jobs/job.ts';
import {
  makeDiskImage,
  smallSystem,
  withMountedPartition,
} from '../../target/testing/disk-image.ts';

const ROOT_ID = '11111111-2222-4333-8444-555555555501';
const MIB = 1024 * 1024;
const BROKEN = [
  '# made by an installer',
  'UUID=99999999-2222-4333-8444-555555555501 / ext4 errors=remount-ro 0 1',
  'UUID=99999999-2222-4333-8444-555555555502 /data ext4 defaults 0 2',
  'tmpfs /tmp tmpfs defaults 0 0',
  'bad line',
  '',
].join('\n');
const REPAIRED = [
  '# made by an installer',
  `UUID=${ROOT_ID} / ext4 errors=remount-ro 0 1`,
  'UUID=99999999-2222-4333-8444-555555555502 /data ext4 defaults,nofail,x-systemd.device-timeout=10s 0 2',
  'tmpfs /tmp tmpfs defaults 0 0',
  '# bad line',
  '',
].join('\n');

let folder: string;
let image: string;
let fixture: JobsFixture;
let jobs: Jobs;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'ivb-')));
  image = join(folder, 'disk.img');
  await makeDiskImage(image, 'dos', [
    { mebibytes: 32, format: 'ext4', uuid: ROOT_ID, files: smallSystem('web-04', BROKEN) },
  ]);
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
});
afterEach(async () => {
  await fixture.close();
  await rm(folder, { recursive: true, force: true });
});

const fstab = () =>
  withMountedPartition(image, { offset: MIB, bytes: 32 * MIB }, (point) =>
    readFile(join(point, 'etc/fstab'), 'utf8'),
  );

async function order(change: Partial<JobSpec>) {
  const action = 'boot.repair-fstab';
  const target = { disk: image };
  const job = await jobs.start(fixture.spec({ action, target, parameters: {}, ...change }), {});
  const { outcome, reason, result } = await ended(job);
  return { id: job.id, outcome, reason, result: result as unknown as FileRepairResult | null };
}

async function planned() {
  const job = await order({ mode: 'plan' });
  const bytes = await readFile(join(fixture.directory(job.id), PLAN_FILE));
  return {
    ...job,
    bytes: bytes.toString('base64'),
    plan: JSON.parse(bytes.toString('utf8')) as Plan,
  };
}

describe('a table of file systems on a disk', () => {
  it('is planned without a change, repaired, found repaired, and put back', async () => {
    const { plan, bytes } = await planned();
    expect(plan.target).toMatchObject({ offline: { disk: image, filesystem: ROOT_ID } });
    expect(plan.steps.map(({ id }) => id)).toEqual(['fstab', 'verify']);
    expect(plan.findings).toHaveLength(3);
    expect(await fstab()).toBe(BROKEN);

    const applied = await order({ plan: bytes });
    expect(applied).toMatchObject({
      outcome: 'succeeded',
      result: { outcome: 'repaired', files: ['/etc/fstab'] },
    });
    expect(await fstab()).toBe(REPAIRED);
    expect((await planned()).plan.steps).toEqual([]);

    const undone = await order({ mode: 'undo', undoes: applied.id });
    expect(undone.result?.outcome).toBe('restored');
    expect(await fstab()).toBe(BROKEN);
  });

  it('says which of its lines were not judged, and promises nothing of them', async () => {
    await withMountedPartition(image, { offset: MIB, bytes: 32 * MIB }, async (point) => {
      await writeFile(join(point, 'etc/fstab'), '/dev/sdz1 /backup ext4 defaults 0 2\n');
    });
    const nothing = (await planned()).plan;
    expect(nothing.steps).toEqual([]);
    expect(nothing.summary).toMatch(/^Nothing to do: .* not waited for, but line 1\.$/);
    expect(nothing.findings).toEqual([
      'Left: line 1: whether /dev/sdz1 for /backup is there cannot be told from here.',
    ]);
    await withMountedPartition(image, { offset: MIB, bytes: 32 * MIB }, async (point) => {
      await writeFile(join(point, 'etc/fstab'), `${BROKEN}/dev/sdz1 /backup ext4 defaults 0 2\n`);
    });
    expect((await planned()).plan.steps[0]?.verify).toMatch(/^Every line .*, but line 6\.$/);
    const one = await order({ mode: 'plan', parameters: { lines: [3] } });
    expect(one.outcome).toBe('succeeded');
  });

  it('is left alone by a plan that was made for another table', async () => {
    const { bytes } = await planned();
    await withMountedPartition(image, { offset: MIB, bytes: 32 * MIB }, async (point) => {
      await writeFile(join(point, 'etc/fstab'), `${BROKEN}# changed since\n`);
    });
    expect(await order({ plan: bytes })).toMatchObject({
      outcome: 'failed',
      reason: 'changed_since_plan',
    });
    expect(await fstab()).toBe(`${BROKEN}# changed since\n`);
  });
});
