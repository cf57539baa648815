import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  diagnosticsResult,
  type Finding,
  type ProbeReport,
} from '../../../../proto/actions/diagnostics.ts';
import { FaultDisk, imageDigest, type LayoutName } from '../../../../test/lab/index.ts';
import { must } from '../../../../test/harness/process.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';
import type { Jobs } from '../../../jobs/job.ts';
import { KERNEL_FIRST } from '../boot/by-hand.ts';
import { REPAIRED_BY_HAND } from '../../bootloader/foreign-boot.ts';
import { layAsRhel } from '../../bootloader/testing/foreign-system.ts';

let fixture: JobsFixture;
let jobs: Jobs;
beforeAll(async () => {
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
});
afterAll(() => fixture.close());

/** What a diagnosis finds on a disk; it has changed nothing there. */
async function findings(
  disk: FaultDisk,
  failing: readonly string[],
  notApplicable: readonly string[],
): Promise<Finding[]> {
  const before = await imageDigest(disk.image);
  const spec = fixture.spec({
    action: 'diagnostics.collect',
    target: { disk: disk.image },
    parameters: {},
    maxRuntimeSeconds: 600,
  });
  const job = await jobs.start(spec, {});
  const { outcome, reason, result } = await ended(job);
  const said = (await output(job, 'note')).toString();
  expect([outcome, reason], said).toEqual(['succeeded', null]);
  expect(await imageDigest(disk.image)).toBe(before);
  const { findings: found, probes } = diagnosticsResult.parse(result);
  const withOutcome = (wanted: ProbeReport['outcome']) =>
    probes.filter((probe) => probe.outcome === wanted).map(({ probe }) => probe);
  expect(withOutcome('probe_failed')).toEqual(failing);
  expect(withOutcome('not_applicable')).toEqual(expect.arrayContaining([...notApplicable]));
  return found;
}

const rules = (found: readonly Finding[]) => found.map(({ rule, subject }) => `${rule} ${subject}`);

async function broken(
  layout: LayoutName,
  breakIt: (disk: FaultDisk) => Promise<unknown>,
  failing: readonly string[] = [],
  notApplicable: readonly string[] = [],
): Promise<Finding[]> {
  const disk = await FaultDisk.copy(layout);
  try {
    await breakIt(disk);
    return await findings(disk, failing, notApplicable);
  } finally {
    disk.close();
  }
}

describe('a diagnosis of a system on a disk', () => {
  it.each(['bios-gpt', 'uefi'] as const)(
    'finds nothing in a healthy one (%s)',
    async (layout) => {
      const found = await broken(layout, async () => undefined);
      expect(rules(found.filter(({ severity }) => severity !== 'notice'))).toEqual([]);
    },
    300_000,
  );

  it('finds what keeps it from booting and people from logging in, with its own paths', async () => {
    const found = await broken(
      'bios-gpt',
      (disk) =>
        disk.inside(async (system) => {
          system.edit('etc/fstab', (text) => `${text}UUID=dead-beef /data ext4 defaults 0 2\n`);
          system.edit('etc/ssh/sshd_config', (text) => `PermitRootLogn yes\n${text}`);
          system.edit('etc/shadow', (text) => text.replace(/^root:[^:]*:/m, 'root:!:'));
          system.edit('boot/grub/grub.cfg', (text) =>
            text.replaceAll(/root=UUID=[\w-]+/g, 'root=UUID=00000000-1111-4222-8333-444444444444'),
          );
        }),
      // Who can log in is not told by a configuration that sshd does not read.
      ['ssh.access'],
    );
    const told = rules(found);
    expect(told).toEqual(
      expect.arrayContaining([
        'fstab.missing_source UUID=dead-beef',
        'ssh.config_bad /etc/ssh/sshd_config',
        'boot.cfg_stale_uuid 00000000-1111-4222-8333-444444444444',
      ]),
    );
    expect(JSON.stringify(found)).not.toContain('/run/intervene');
  }, 300_000);

  it('says that packages were not looked at where rpm keeps them', async () => {
    const found = await broken(
      'bios-gpt',
      (disk) =>
        disk.inside((system) => {
          system.write('etc/os-release', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n');
          mkdirSync(system.path('var/lib/rpm'), { recursive: true });
          system.write('var/lib/rpm/rpmdb.sqlite', 'record');
          for (const name of ['etc/apt', 'var/lib/dpkg']) {
            rmSync(system.path(name), { recursive: true });
          }
        }),
      ['packages.rpm'],
      [
        'packages.dpkg',
        'packages.sources',
        'packages.dependencies',
        'packages.loader',
        'packages.folders',
      ],
    );
    expect(rules(found).filter((text) => text.startsWith('pkg.'))).toEqual([]);
  }, 300_000);

  it('says that it cannot look at a boot that RHEL has, and suggests no repair that would be refused', async () => {
    const found = await broken(
      'bios-gpt',
      async (disk) => {
        await disk.inside((system) => layAsRhel(system));
        await disk.writeBytes(0, Buffer.alloc(440));
      },
      ['boot.efi', 'boot.initramfs', 'boot.chain'],
    );
    const own = found.filter(({ area }) => area === 'boot');
    expect(rules(own).map((text) => text.split(' ')[0])).toEqual(['boot.no_mbr_code']);
    expect(own).toMatchObject([{ suggestion: null, byHand: REPAIRED_BY_HAND }]);
  }, 300_000);

  it('says that there is no kernel, and suggests no repair that would be refused for it', async () => {
    const found = await broken('bios-gpt', async (disk) => {
      await disk.inside((system) => {
        for (const name of readdirSync(system.path('boot'))) {
          rmSync(system.path(`boot/${name}`), { recursive: true });
        }
      });
      await disk.writeBytes(0, Buffer.alloc(440));
    });
    const own = found.filter(({ area }) => area === 'boot');
    expect(rules(own)).toEqual(
      expect.arrayContaining(['boot.no_kernel /boot', expect.stringMatching('^boot.no_mbr_code')]),
    );
    for (const { suggestion, byHand } of own) {
      expect(suggestion).toBeNull();
      expect(byHand).toBe(KERNEL_FIRST);
    }
  }, 300_000);

  it('goes on where the root file system cannot be opened', async () => {
    const found = await broken('bios-gpt', (disk) =>
      disk.writeBytes(disk.partition('root').offset + 1024, new Uint8Array(1024)),
    );
    expect(rules(found).map((text) => text.split(' ')[0])).toEqual(
      expect.arrayContaining(['fs.ext4_super', 'disk.no_system']),
    );
  }, 300_000);

  const debugfs = (disk: FaultDisk, ...commands: string[]) =>
    disk.device('root', async (device) => {
      for (const command of commands) await must(['debugfs', '-w', '-R', command, device]);
    });
  it.each<[string, LayoutName, (disk: FaultDisk) => Promise<unknown>]>([
    ['fs.ext4_errors', 'bios-gpt', (disk) => debugfs(disk, 'ssv error_count 3', 'ssv state 3')],
    ['fs.ext4_errors', 'bios-gpt', (disk) => debugfs(disk, 'clri <8>')],
    [
      'win.dirty_volume',
      'bios-gpt-ntfs',
      (disk) => disk.device('data', (device) => must(['ntfsfix', device])),
    ],
  ])(
    'says %s of what the check alone takes for clean or unreadable (%s)',
    async (rule, layout, breakIt) => {
      const found = await broken(layout, breakIt);
      expect(found.map((finding) => finding.rule)).toContain(rule);
    },
    300_000,
  );
});
