import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../../../proto/actions/diagnostics.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';
import type { Jobs } from '../../../jobs/job.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import { LoopFixture } from '../../loop-fixture.ts';
import { makeRaidMember } from './testing/raid-superblock.ts';
import { UNOPENED_GROUP, UNOPENED_PV } from './testing/unopened-volumes.ts';

const MIB = 1024 * 1024;
const KEY = 'correct horse battery';
/** Of this machine's kernel; with them, what is tried here is tried by test/lab/storage.test.ts. */
const hasDeviceMapper = execFileSync('cat', ['/proc/misc'], { encoding: 'utf8' }).includes(
  'device-mapper',
);

let disks: LoopFixture;
let fixture: JobsFixture;
let jobs: Jobs;
beforeEach(async () => {
  disks = await LoopFixture.create();
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
});
afterEach(async () => {
  await fixture.close();
  await disks.close();
});

async function order(disk: string, change: Partial<JobSpec> = {}, key?: string) {
  const action = 'diagnostics.collect';
  const spec = fixture.spec({ action, target: { disk }, parameters: {}, ...change });
  const job = await jobs.start(spec, key === undefined ? {} : { 'disk-key': key });
  const { outcome, reason, result } = await ended(job);
  const { findings = [] } = (result ?? {}) as unknown as Partial<DiagnosticsResult>;
  return {
    ...{ outcome, reason, findings, said: (await output(job, 'note')).toString() },
    rules: findings.map(({ rule, subject }) => `${rule} ${subject}`),
  };
}

/** An encrypted disk, as cryptsetup makes it without the kernel's help. */
async function encrypted(): Promise<string> {
  const file = await disks.file('luks.img', 32 * MIB);
  const fast = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
  const words = ['luksFormat', '--batch-mode', ...fast, '--key-file=-', file];
  execFileSync('cryptsetup', words, { input: KEY });
  return file;
}

/** Calls lvm(8) so that it sees these devices alone. */
function lvmOf(loops: readonly string[]) {
  const accept = loops.map((loop) => `"a|^${loop}$|"`).join(',');
  const config = `devices{filter=[${accept},"r|.*|"] use_devicesfile=0} backup{backup=0 archive=0}`;
  return (...words: string[]) => disks.run('lvm', ...words, '--config', config);
}

/** A disk with a volume of each kind that is not opened, and a plain one. */
async function unopened(): Promise<string> {
  const file = await disks.file('kinds.img', 64 * MIB);
  const text = disks.path('group.txt');
  writeFileSync(text, UNOPENED_GROUP);
  const loop = (await disks.run('losetup', '--find', '--show', file)).trim();
  const lvm = lvmOf([loop]);
  await lvm('pvcreate', '--uuid', UNOPENED_PV, '--norestorefile', loop);
  await lvm('vgcfgrestore', '--force', '--file', text, 'shop');
  await disks.run('losetup', '--detach', loop);
  return file;
}

/** Two disks of one group; lvm writes what it needs on them without the kernel. */
async function group(): Promise<[first: string, second: string]> {
  const files = [await disks.file('pv-1.img', 32 * MIB), await disks.file('pv-2.img', 32 * MIB)];
  const loops: string[] = [];
  for (const file of files)
    loops.push((await disks.run('losetup', '--find', '--show', file)).trim());
  const lvm = lvmOf(loops);
  const bare = ['--driverloaded', 'n', '--activate', 'n', '--zero', 'n', '--wipesignatures', 'n'];
  await lvm('pvcreate', ...loops);
  await lvm('vgcreate', 'shop', ...loops);
  await lvm('lvcreate', ...bare, '--name', 'root', '--extents', '2', 'shop', loops[0]!);
  await lvm('lvcreate', ...bare, '--name', 'far', '--extents', '2', 'shop', loops[1]!);
  for (const loop of loops) await disks.run('losetup', '--detach', loop);
  return [files[0]!, files[1]!];
}

describe('a disk whose volumes are not plain', () => {
  it('that is encrypted needs the key, and a diagnosis says how it is given', async () => {
    const { outcome, findings } = await order(await encrypted());
    expect(outcome).toBe('succeeded');
    const found = findings.find(({ rule }) => rule === 'luks.no_key');
    expect(found).toMatchObject({ severity: 'critical', suggestion: null });
    expect(found?.byHand).toContain('intervene credentials give SERVER --name disk-key');
  });

  it('that is encrypted is not planned for without the key', async () => {
    const plan = { action: 'boot.repair-fstab', mode: 'plan' } as const;
    const { outcome, reason, said } = await order(await encrypted(), plan);
    expect([outcome, reason]).toEqual(['failed', 'disk_key_missing']);
    expect(said).toContain('it is encrypted, and the order brings no key');
  });

  it.runIf(!hasDeviceMapper)(
    'is told of where the kernel cannot open it (only tried where it cannot)',
    async () => {
      const luks = await encrypted();
      const looked = await order(luks, {}, KEY);
      expect(looked.rules).toContain(`disk.not_opened ${luks}`);
      const plan = { action: 'boot.repair-fstab', mode: 'plan' } as const;
      const planned = await order(luks, plan, KEY);
      expect([planned.outcome, planned.reason]).toEqual(['failed', 'device_mapper_unavailable']);
      expect(planned.said).toContain('load its module dm_mod, or start the server from a rescue');
      expect(planned.said).not.toContain(KEY);
    },
  );

  it('that is encrypted is not opened by another key, whatever the kernel can do', async () => {
    const luks = await encrypted();
    const { outcome, reason, said } = await order(luks, {}, `not ${KEY}`);
    expect([outcome, reason]).toEqual(['failed', 'disk_key_wrong']);
    expect(said).toContain(`the key of the order does not open ${luks}`);
    expect(said).not.toContain(KEY);
  });

  it('that is one of a group of LVM lacks the other: nothing is planned on what is left', async () => {
    const [first] = await group();
    const { outcome, findings } = await order(first);
    expect(outcome).toBe('succeeded');
    const found = findings.find(({ rule }) => rule === 'lvm.partial');
    expect(found).toMatchObject({ subject: 'volume group shop', severity: 'critical' });
    const plan = { action: 'boot.repair-fstab', mode: 'plan' } as const;
    const planned = await order(first, plan);
    expect([planned.outcome, planned.reason]).toEqual(['failed', 'volume_group_incomplete']);
  });

  it('that holds volumes of LVM of other kinds: each is told of, and none is repaired', async () => {
    const disk = await unopened();
    const { findings } = await order(disk);
    const told = findings.filter(({ rule }) => rule === 'disk.not_opened');
    const why = (name: string) =>
      told.find(({ subject }) => subject === `logical volume shop/${name}`)?.evidence[0]?.text;
    expect(why('thin')).toMatch(/^it is a thin volume, .* \(thin,sparse\)/);
    expect(why('mirror')).toMatch(/^LVM itself keeps it on several disks, .* \(raid,raid1\)/);
    expect(why('origin')).toMatch(/^it has snapshots, /);
    expect(why('before')).toMatch(/^it is a snapshot of another volume, /);
    expect(why('pool')).toBeUndefined();
    const parameters = { volume: '/dev/shop/thin' };
    const checked = await order(disk, { action: 'filesystem.check', parameters });
    expect([checked.outcome, checked.reason]).toEqual(['failed', 'volume_unsupported']);
    expect(checked.said).toContain('/dev/shop/thin is on none of the disks');
    expect(checked.said).toContain('lvchange --activate y shop/thin');
  });

  it('that is one half of a mirror lacks the other: nothing is planned on what is left', async () => {
    const bytes = 16 * MIB;
    const half = await disks.file('half.img', bytes);
    await makeRaidMember(half, { number: 0, bytes });
    const { outcome, findings } = await order(half);
    expect(outcome).toBe('succeeded');
    const found = findings.find(({ rule }) => rule === 'raid.degraded');
    expect(found).toMatchObject({
      subject: 'RAID1 shop:0',
      severity: 'critical',
      suggestion: null,
    });
    expect(JSON.stringify(found?.evidence)).toContain(
      '1 of its 2 disks are in use, among the disks',
    );
    const plan = { action: 'boot.repair-fstab', mode: 'plan' } as const;
    const planned = await order(half, plan);
    expect([planned.outcome, planned.reason]).toEqual(['failed', 'array_degraded']);
    const repair = { action: 'filesystem.repair', parameters: { volume: '/dev/md/0' } };
    const repaired = await order(half, { mode: 'plan', ...repair });
    expect([repaired.outcome, repaired.reason]).toEqual(['failed', 'array_degraded']);
  });

  it('that is part of a RAID whose content is being moved is neither read nor written', async () => {
    const bytes = 16 * MIB;
    const half = await disks.file('half.img', bytes);
    await makeRaidMember(half, { number: 0, bytes, reshapes: true });
    const { rules, findings } = await order(half);
    expect(rules).toContain('raid.reshaping RAID1 shop:0');
    expect(findings.map(({ suggestion }) => suggestion)).not.toContainEqual(expect.anything());
    const plan = { action: 'boot.repair-fstab', mode: 'plan' } as const;
    const planned = await order(half, plan);
    expect([planned.outcome, planned.reason]).toEqual(['failed', 'array_reshaping']);
  });
});
