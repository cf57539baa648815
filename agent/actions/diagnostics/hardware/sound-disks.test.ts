import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { diagnosticsResult } from '../../../../proto/actions/diagnostics.ts';
import { observationFile, OBSERVED_ALL, type Observation } from '../../../jobs/observation.ts';
import { DiskJobs } from '../../../jobs/disk-jobs-fixture.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import { makeDiskImage, smallSystem } from '../../../target/testing/disk-image.ts';
import { sha256 } from '../../filesystem/testing/image-bytes.ts';
import { ProbeFixture, recorded } from '../testing/probe-fixture.ts';
import { judgeNamed } from './judge-disks.ts';
import { requireSoundDisks } from './require-sound-disks.ts';

/** As smartctl 7.3 answers, shortened to what is read; disks that fail cannot be made here. */
const smart = (passed: boolean, pending = 0) =>
  JSON.stringify({
    smartctl: { version: [7, 3], exit_status: passed ? 0 : 8 },
    smart_status: { passed },
    ata_smart_attributes: {
      table: [{ id: 197, name: 'Current_Pending_Sector', raw: { value: pending } }],
    },
  });
const OF_SDA = { devices: new Set(['sda', 'sda1', 'sda2']), ports: new Set(['ata3']) };

describe('what is known against a disk', () => {
  let machine: ProbeFixture;
  beforeEach(async () => {
    machine = await ProbeFixture.create();
  });
  afterEach(() => machine.close());

  const judge = async (seen: Record<string, Observation>) => {
    const { findings, unknown } = await judgeNamed(OF_SDA, {
      observe: async (name) => seen[name] ?? recorded(''),
      observed: async (prefix) => Object.keys(seen).filter((name) => name.startsWith(prefix)) as [],
      files: new TargetFiles(machine.root),
    });
    return { rules: findings.map(({ rule, subject }) => `${rule} ${subject}`), unknown };
  };

  it('is what it says of itself, not what another one does', async () => {
    const seen = { 'smart-sda': recorded(smart(false)), 'smart-sdb': recorded(smart(false)) };
    expect((await judge(seen)).rules).toEqual(['hw.smart_failing sda']);
    const waiting = { 'smart-sda': recorded(smart(true, 8)) };
    expect((await judge(waiting)).rules).toEqual(['hw.sector_trouble sda']);
  });

  it('is what the kernel met on it, on its partitions and at its port', async () => {
    const log = [
      '<3>[   61.1] blk_update_request: I/O error, dev sda, sector 2048 op 0x0:(READ)',
      '<3>[   61.2] Buffer I/O error on dev sda2, logical block 1, async page read',
      '<3>[   61.3] I/O error, dev sdb, sector 8 op 0x0:(READ)',
      '<3>[   61.4] ata3.00: error: { UNC }',
      '<3>[   61.5] ata4.00: error: { UNC }',
    ];
    const { rules } = await judge({ 'kernel-log': recorded(log.join('\n')) });
    expect(rules).toEqual(['hw.io_errors sda', 'hw.io_errors sda2', 'hw.io_errors ata3.00']);
  });

  it('is an array of its partitions that lacks a disk', async () => {
    await machine.write(
      'proc/mdstat',
      'Personalities : [raid1]\n' +
        'md0 : active raid1 sda1[0]\n      1046528 blocks super 1.2 [2/1] [U_]\n' +
        'md1 : active raid1 sdb1[0]\n      1046528 blocks super 1.2 [2/1] [U_]\n',
    );
    expect((await judge({})).rules).toEqual(['raid.degraded md0']);
  });

  it('is memory that lost data, whatever it was to go to', async () => {
    await machine.write('sys/devices/system/edac/mc/mc0/ue_count', '1\n');
    expect((await judge({})).rules).toEqual(['hw.mce_edac mc0 ue']);
  });

  it('is not what cannot be read, which is told', async () => {
    const { rules, unknown } = await judge({ 'smart-sda': recorded('Permission denied') });
    expect([rules, unknown]).toEqual([[], ['smartctl gave no readable answer for sda']]);
  });
});

describe('a disk that says it is failing', () => {
  let loops: LoopFixture;
  let device: string;
  beforeAll(async () => {
    loops = await LoopFixture.create();
    device = await loops.loop(await loops.ext4('disk'));
  });
  afterAll(() => loops.close());

  /** A job for which the agent saw this; a loop device has no health that smartctl could tell. */
  function job(action: string, mode: JobSpec['mode'], answer: string) {
    const state = loops.path(`${action}-${mode}`);
    const directory = join(state, 'jobs', 'one');
    const observed = join(state, 'observed', 'one');
    mkdirSync(directory, { recursive: true });
    mkdirSync(observed, { recursive: true });
    const name = `smart-${device.slice('/dev/'.length)}`;
    writeFileSync(join(observed, observationFile(name)), JSON.stringify(recorded(answer)));
    writeFileSync(
      join(observed, observationFile('kernel-log')),
      JSON.stringify({ ...recorded('', 'dmesg --raw'), problem: 'not_found' }),
    );
    writeFileSync(join(observed, OBSERVED_ALL), '');
    const notes: string[] = [];
    const isNamed = action.startsWith('filesystem.');
    const spec = {
      action,
      mode,
      target: isNamed ? null : { disk: device },
      parameters: isNamed ? { device } : {},
    } as unknown as JobSpec;
    return { spec, directory, notes, note: (text: string) => void notes.push(text) };
  }

  it.each([
    ['filesystem.repair', 'plan'],
    ['filesystem.repair', 'apply'],
    ['boot.repair-fstab', 'apply'],
    ['access.restore-ssh', 'undo'],
  ] as const)('stops %s (%s)', async (action, mode) => {
    await expect(requireSoundDisks(job(action, mode, smart(false)))).rejects.toMatchObject({
      reason: 'hardware_failing',
      message: expect.stringMatching(
        /reports that it is failing.*Nothing was written.*data centre/,
      ),
    });
  });

  it.each(['filesystem.check', 'diagnostics.collect'])('does not stop %s', async (action) => {
    expect(await requireSoundDisks(job(action, 'apply', smart(false)))).toBeUndefined();
  });

  it('stops nothing when it is well, and what could not be looked at is told', async () => {
    const well = job('boot.repair-fstab', 'plan', smart(true));
    await requireSoundDisks(well);
    expect(well.notes.join()).toContain('not fully known: dmesg is not installed');
  });
});

describe('a disk that cannot be read at its end', { timeout: 120_000 }, () => {
  let loops: LoopFixture;
  let jobs: DiskJobs;
  let image: string;
  let device: string;
  beforeAll(async () => {
    loops = await LoopFixture.create();
    image = loops.path('disk.img');
    const fstab = 'LABEL=root / ext4 defaults 0 1\nUUID=dead-beef /data ext4 defaults 0 2\n';
    const files = smallSystem('web', fstab);
    await makeDiskImage(image, 'gpt', [{ mebibytes: 16, format: 'ext4', label: 'root', files }]);
    device = await loops.loop(image);
    // The kernel answers input/output errors for what the file no longer has.
    truncateSync(image, 17 * 1024 * 1024);
    jobs = await DiskJobs.on(device);
  });
  afterAll(async () => {
    await jobs.close();
    await loops.close();
  });

  it.each([
    ['boot.repair-fstab', {}],
    ['filesystem.repair', { partition: 1 }],
  ])('is not written by %s, nor is it planned', async (action, parameters) => {
    const before = await sha256(image);
    const planned = await jobs.order({ action, mode: 'plan', parameters });
    expect([planned.outcome, planned.reason], planned.said).toEqual(['failed', 'hardware_failing']);
    expect(await sha256(image)).toBe(before);
  });

  it('is not repaired where it is named as a device either', async () => {
    const given = { action: 'filesystem.repair', mode: 'plan', target: null } as const;
    const done = await jobs.order({ ...given, parameters: { device } });
    expect(done.reason, done.said).toBe('hardware_failing');
  });

  it('is a finding that no repair is offered for', async () => {
    const done = await jobs.order({ action: 'diagnostics.collect', parameters: {} });
    const { findings } = diagnosticsResult.parse(done.result);
    expect(findings).toContainEqual(
      expect.objectContaining({
        rule: 'hw.io_errors',
        severity: 'critical',
        subject: device,
        suggestion: null,
        byHand: expect.stringContaining('data centre'),
      }),
    );
  });
});
