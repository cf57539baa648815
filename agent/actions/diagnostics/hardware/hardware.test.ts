import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { names, ProbeFixture, recorded } from '../testing/probe-fixture.ts';
import { diskHealth, judgeSmart } from './disk-health.ts';
import { kernelLog } from './kernel-log.ts';
import { memoryErrors } from './memory-errors.ts';
import { raid } from './raid.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
});
afterEach(() => system.close());

/** Shaped like the answers of smartctl 7; disks that fail cannot be made here. */
function ata(attributes: Record<number, number>, passed = true, exit = 0): string {
  const table = Object.entries(attributes).map(([id, value]) => ({
    id: Number(id),
    name: `Attribute_${id}`,
    raw: { value, string: String(value) },
  }));
  return JSON.stringify({
    json_format_version: [1, 0],
    smartctl: { version: [7, 3], exit_status: exit },
    device: { name: '/dev/sda', type: 'sat', protocol: 'ATA' },
    smart_status: { passed },
    ata_smart_attributes: { revision: 16, table },
  });
}

function nvme(log: Record<string, number>): string {
  return JSON.stringify({
    smartctl: { version: [7, 3], exit_status: 0 },
    device: { name: '/dev/nvme0n1', type: 'nvme', protocol: 'NVMe' },
    smart_status: { passed: true, nvme: { value: 0 } },
    nvme_smart_health_information_log: {
      critical_warning: 0,
      available_spare: 100,
      available_spare_threshold: 10,
      media_errors: 0,
      ...log,
    },
  });
}

describe('disks', () => {
  const judge = (out: string) => judgeSmart('sda', recorded(out, 'smartctl --json /dev/sda'));

  it.each([ata({ 5: 0, 187: 0, 197: 0, 198: 0 }), nvme({})])('are well', (out) => {
    expect(judge(out)).toEqual([]);
  });

  it.each([
    ['fails', ata({}, false, 8), 'hw.smart_failing', 'critical'],
    ['fails now', ata({}, true, 16), 'hw.smart_failing', 'critical'],
    ['waits for sectors', ata({ 197: 3 }), 'hw.sector_trouble', 'critical'],
    ['has replaced sectors', ata({ 5: 12 }), 'hw.sector_trouble', 'warning'],
    ['lost data', nvme({ media_errors: 2 }), 'hw.sector_trouble', 'critical'],
    ['warns', nvme({ critical_warning: 4 }), 'hw.sector_trouble', 'critical'],
    ['has no spare left', nvme({ available_spare: 5 }), 'hw.sector_trouble', 'critical'],
  ])('one that %s is named', (_, out, rule, severity) => {
    expect(judge(out)).toMatchObject([{ rule, severity, subject: 'sda', suggestion: null }]);
  });

  it('that say nothing are not taken for well', () => {
    const out = JSON.stringify({
      smartctl: { exit_status: 2, messages: [{ string: 'Unable to detect device type' }] },
    });
    expect(judge(out)).toMatchObject([{ rule: 'hw.smart_unknown', severity: 'notice' }]);
    expect(() => judge('smartctl: not JSON')).toThrow('no readable answer');
  });

  it('are each looked at by what the agent saw of them', async () => {
    const found = await system.look(diskHealth, {
      'smart-sda': recorded(ata({}, false, 8)),
      'smart-nvme0n1': recorded(nvme({ media_errors: 1 })),
    });
    expect(names(found)).toEqual(['hw.smart_failing sda', 'hw.sector_trouble nvme0n1']);
    await expect(system.look(diskHealth, {})).rejects.toThrow('virtual machines');
  });
});

describe('memory', () => {
  const FOLDER = 'sys/devices/system/edac/mc/mc0';

  it('is told apart: what was corrected, and what was lost', async () => {
    await system.write(`${FOLDER}/ce_count`, '7\n');
    await system.write(`${FOLDER}/ue_count`, '0\n');
    expect(await system.look(memoryErrors)).toMatchObject([
      { rule: 'hw.mce_edac', severity: 'warning' },
    ]);
    await system.write(`${FOLDER}/ue_count`, '1\n');
    const found = await system.look(memoryErrors);
    expect(found.map(({ severity }) => severity)).toEqual(['critical', 'warning']);
  });

  it('is not judged where nothing counts', async () => {
    await expect(system.look(memoryErrors)).rejects.toThrow('counts');
  });
});

describe('RAID', () => {
  const HEAD = 'Personalities : [raid1] \n';

  it.each([
    [
      'degraded',
      'md0 : active raid1 sda1[0]\n      1046528 blocks super 1.2 [2/1] [U_]\n',
      'raid.degraded md0',
    ],
    [
      'with a failed disk',
      'md127 : active raid1 sdb1[1](F) sda1[0]\n      1046528 blocks [2/1] [U_]\n',
      'raid.degraded md127',
    ],
    ['stopped', 'md1 : inactive sdb2[1](S)\n      1046528 blocks super 1.2\n', 'raid.inactive md1'],
  ])('is %s', async (_, text, name) => {
    await system.write('proc/mdstat', HEAD + text);
    expect(names(await system.look(raid))).toEqual([name]);
  });

  it('is well with all its disks, and not missed where there is none', async () => {
    await system.write(
      'proc/mdstat',
      `${HEAD}md0 : active raid1 sdb1[1] sda1[0]\n      1 blocks [2/2] [UU]\n`,
    );
    expect(await system.look(raid)).toEqual([]);
    await system.write('proc/mdstat', `${HEAD}unused devices: <none>\n`);
    await expect(system.look(raid)).rejects.toThrow('no software RAID');
  });
});

describe('the kernel log', () => {
  const look = (...lines: string[]) =>
    system.look(kernelLog, { 'kernel-log': recorded(lines.join('\n'), 'dmesg --raw') });

  it.each([
    [
      '<3>[ 10.1] I/O error, dev sdb, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1',
      'hw.io_errors sdb',
      'critical',
    ],
    [
      '<3>[ 10.1] Buffer I/O error on dev nvme0n1p2, logical block 8, async page read',
      'hw.io_errors nvme0n1p2',
      'critical',
    ],
    ['<3>[ 10.1] ata1.00: error: { UNC }', 'hw.io_errors ata1.00', 'critical'],
    [
      '<3>[ 10.1] I/O error, dev loop3, sector 16640 op 0x0:(READ)',
      'hw.io_errors loop3',
      'warning',
    ],
    ['<2>[ 9.0] EXT4-fs (sda2): Remounting filesystem read-only', 'fs.ro_remount sda2', 'critical'],
    [
      '<1>[ 9.0] XFS (dm-0): Log I/O Error Detected. Shutting down filesystem',
      'fs.ro_remount dm-0',
      'critical',
    ],
    ['<2>[ 9.0] BTRFS info (device sdc1): forced readonly', 'fs.ro_remount sdc1', 'critical'],
    [
      '<3>[ 5.0] Out of memory: Killed process 812 (mysqld) total-vm:1kB',
      'log.oom mysqld',
      'warning',
    ],
    [
      '<0>[ 5.0] mce: [Hardware Error]: Machine check events logged',
      'hw.mce_edac machine check',
      'warning',
    ],
    [
      '<4>[ 5.0] EDAC MC0: 1 CE memory read error on CPU_SrcID#0',
      'hw.mce_edac machine check',
      'warning',
    ],
    [
      '<0>[ 5.0] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!',
      'log.kernel_trouble BUG:',
      'warning',
    ],
    [
      '<3>[ 5.0] INFO: task jbd2:99 blocked for more than 120 seconds.',
      'log.kernel_trouble blocked for more than N seconds',
      'warning',
    ],
  ])('%s', async (line, name, severity) => {
    const found = await look('<6>[ 1.0] Linux version 6.1.0', line);
    expect(names(found)).toEqual([name]);
    expect(found[0]!.severity).toBe(severity);
  });

  it('is one finding for many lines of one disk, with the last of them', async () => {
    const lines = Array.from(
      { length: 50 },
      (_, at) => `<3>[ ${at}.0] I/O error, dev sdb, sector ${at}`,
    );
    const [found, ...others] = await look(...lines);
    expect(others).toEqual([]);
    expect(found!.title).toContain('50 times');
    expect(JSON.stringify(found!.evidence)).toContain('sector 49');
  });

  it('is not written by programs', async () => {
    // Facility 1: somebody wrote it to /dev/kmsg.
    expect(await look('<11>[ 1.0] I/O error, dev sdb, sector 1', 'I/O error, dev sdb')).toEqual([]);
  });

  it('takes drives without a medium for well', async () => {
    expect(
      await look(
        '<3>[ 1.0] I/O error, dev fd0, sector 0',
        '<3>[ 1.0] I/O error, dev sr0, sector 0',
      ),
    ).toEqual([]);
  });
});
