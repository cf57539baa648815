import { mkdir, rm, symlink } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultTarget } from '../services/default-target.ts';
import { maskedUnits } from '../services/unit-state.ts';
import { names, ProbeFixture, recorded } from '../testing/probe-fixture.ts';
import { clock } from '../time/clock.ts';
import { bootChain } from './boot-chain.ts';
import { pendingReboot } from './pending-reboot.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
});
afterEach(() => system.close());

const UUID = '0b1f7c66-2f7e-4d0c-8f44-0d5a0f1f9a01';
const CFG = 'boot/grub/grub.cfg';
const config = (uuid = UUID) =>
  [
    'set default="0"',
    "menuentry 'Debian' {",
    `\tlinux\t/boot/vmlinuz-6.1.0-28-amd64 root=UUID=${uuid} ro quiet`,
    '\tinitrd\t/boot/initrd.img-6.1.0-28-amd64',
    '}',
    "menuentry 'old' {",
    `\tlinux\t/boot/vmlinuz-6.1.0-20-amd64 root=UUID=${uuid} ro`,
    '}',
    '',
  ].join('\n');

describe('the next boot', () => {
  const look = (uuid = UUID) => {
    const disk = { name: 'sda1', type: 'part', size: 1000, fstype: 'ext4', uuid };
    return system.look(bootChain, {
      'block-devices': recorded(JSON.stringify({ blockdevices: [disk] })),
      signatures: { ...recorded(''), problem: 'not_applicable' },
    });
  };

  beforeEach(async () => {
    await system.write(CFG, config());
    for (const version of ['28', '20']) {
      await system.write(`boot/vmlinuz-6.1.0-${version}-amd64`, 'kernel');
    }
    await system.write('boot/initrd.img-6.1.0-28-amd64', 'x'.repeat(1024 * 1024));
  });

  it('has all it needs', async () => {
    expect(await look()).toEqual([]);
  });

  it('has all it needs on a /boot of its own', async () => {
    await system.write(CFG, config().replaceAll('/boot/', '/'));
    expect(await look()).toEqual([]);
  });

  it.each(['', '# nothing\nset default="0"\n'])(
    'has no configuration with a kernel: %j',
    async (text) => {
      await system.write(CFG, text);
      expect(names(await look())).toEqual(['boot.cfg_missing /boot/grub/grub.cfg']);
    },
  );

  it('misses its kernel, and an older one less', async () => {
    await rm(system.path('boot/vmlinuz-6.1.0-20-amd64'));
    expect(await look()).toMatchObject([{ rule: 'boot.kernel_missing', severity: 'warning' }]);
    await system.write('boot/vmlinuz-6.1.0-20-amd64', 'kernel');
    await rm(system.path('boot/vmlinuz-6.1.0-28-amd64'));
    expect(await look()).toMatchObject([{ severity: 'critical', evidence: [{ line: 3 }] }]);
  });

  it('has nothing to start without a kernel, which no repair brings', async () => {
    for (const version of ['28', '20']) {
      await rm(system.path(`boot/vmlinuz-6.1.0-${version}-amd64`));
    }
    const nothing = { rule: 'boot.no_kernel', severity: 'critical', suggestion: null };
    expect(await look()).toMatchObject([{ ...nothing, evidence: [{ file: `/${CFG}`, line: 3 }] }]);
    await rm(system.path(CFG));
    expect(await look()).toMatchObject([{ ...nothing, evidence: [{ file: '/boot' }] }]);
  });

  it('may have its kernel elsewhere than in /boot itself', async () => {
    for (const version of ['28', '20']) {
      await rm(system.path(`boot/vmlinuz-6.1.0-${version}-amd64`));
    }
    await system.write('vmlinuz', 'kernel');
    await system.write(CFG, config().replaceAll(/\/boot\/vmlinuz-\S+/g, '/vmlinuz'));
    expect(await look()).toEqual([]);
  });

  it('has no initial file system, or a broken one', async () => {
    await system.write('boot/initrd.img-6.1.0-28-amd64', 'short');
    expect((await look())[0]!.title).toContain('5 bytes long');
    await rm(system.path('boot/initrd.img-6.1.0-28-amd64'));
    expect(await look()).toMatchObject([{ rule: 'boot.initrd_bad', severity: 'critical' }]);
  });

  it('does not find its root', async () => {
    const found = await look('11111111-2f7e-4d0c-8f44-0d5a0f1f9a01');
    expect(names(found)).toEqual([`boot.cfg_stale_uuid ${UUID}`]);
  });

  it('finds no loader where the firmware is UEFI', async () => {
    await mkdir(system.path('sys/firmware/efi'), { recursive: true });
    await system.write('boot/efi/EFI/debian/grub.cfg', '');
    expect(names(await look())).toEqual(['boot.esp_loader_missing /boot/efi/EFI']);
    await system.write('boot/efi/EFI/debian/grubx64.efi', 'MZ');
    expect(await look()).toEqual([]);
  });

  it('is somebody else’s where the server has no loader and no kernel', async () => {
    await rm(system.path('boot'), { recursive: true });
    await expect(look()).rejects.toThrow('no boot loader');
  });
});

describe('the target of a boot', () => {
  it.each([
    ['/lib/systemd/system/rescue.target', ['boot.default_target rescue.target']],
    ['/lib/systemd/system/multi-user.target', []],
    ['/lib/systemd/system/graphical.target', []],
  ])('%s', async (target, expected) => {
    await mkdir(system.path('etc/systemd/system'), { recursive: true });
    await symlink(target, system.path('etc/systemd/system/default.target'));
    expect(names(await system.look(defaultTarget))).toEqual(expected);
  });
});

describe('masked units', () => {
  it('are those that somebody masked, not those that came so', async () => {
    for (const folder of ['etc/systemd/system', 'lib/systemd/system']) {
      await mkdir(system.path(folder), { recursive: true });
    }
    await symlink('/dev/null', system.path('etc/systemd/system/nginx.service'));
    await symlink('/dev/null', system.path('lib/systemd/system/hwclock.service'));
    await symlink(
      '/lib/systemd/system/ssh.service',
      system.path('etc/systemd/system/sshd.service'),
    );
    await system.write('etc/systemd/system/empty.service', '');
    expect(names(await system.look(maskedUnits))).toEqual([
      'svc.masked_unit empty.service',
      'svc.masked_unit nginx.service',
    ]);
  });
});

describe('a reboot', () => {
  it('is waited for by packages, and by a kernel that is gone', async () => {
    await system.write('proc/sys/kernel/osrelease', '6.1.0-28-amd64\n');
    await mkdir(system.path('lib/modules/6.1.0-28-amd64'), { recursive: true });
    expect(await system.look(pendingReboot)).toEqual([]);
    await system.write('run/reboot-required', '*** System restart required ***\n');
    await system.write('run/reboot-required.pkgs', 'linux-image-amd64\n');
    await system.write('proc/sys/kernel/osrelease', '6.1.0-20-amd64\n');
    const found = await system.look(pendingReboot);
    expect(names(found)).toEqual(['sys.reboot_pending packages', 'sys.reboot_pending kernel']);
    expect(JSON.stringify(found[0]!.evidence)).toContain('linux-image-amd64');
  });
});

describe('the clock', () => {
  const GROUP = 'sys/fs/cgroup/system.slice';

  it('is kept by a service that runs', async () => {
    await system.write(`${GROUP}/chrony.service/cgroup.procs`, '321\n');
    expect(await system.look(clock)).toEqual([]);
  });

  it('is not kept by one that has ended, or by none', async () => {
    expect(names(await system.look(clock))).toEqual(['time.unsynced clock']);
    await system.write(`${GROUP}/chrony.service/cgroup.procs`, '');
    expect((await system.look(clock))[0]!.title).toContain('Nothing keeps');
  });

  it('has never been compared when timesyncd could not', async () => {
    await system.write(`${GROUP}/systemd-timesyncd.service/cgroup.procs`, '9\n');
    expect((await system.look(clock))[0]!.title).toContain('has not been compared');
    await system.write('run/systemd/timesync/synchronized', '');
    expect(await system.look(clock)).toEqual([]);
  });
});
