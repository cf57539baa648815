import { describe, expect, it, onTestFinished } from 'vitest';
import { bootsToLogin, FaultDisk, imageDigest, ROOT_PASSWORD, VirtualMachine } from './index.ts';
import type { LayoutName } from './index.ts';

async function copy(name: LayoutName): Promise<FaultDisk> {
  const disk = await FaultDisk.copy(name);
  onTestFinished(() => disk.close());
  return disk;
}

async function machine(disk: FaultDisk): Promise<VirtualMachine> {
  const { firmware } = disk.layout;
  const started = await VirtualMachine.start({ firmware, disks: [disk.image] });
  onTestFinished(() => started.end());
  return started;
}

describe('a disk in a virtual machine', () => {
  it('boots by BIOS and lets its root in with the right password only; no byte of it changes', async () => {
    const disk = await copy('bios-gpt');
    const before = await imageDigest(disk.image);
    const booted = await machine(disk);
    expect(await booted.logsIn('root', 'wrong')).toBe(false);
    expect(await booted.logsIn('root', ROOT_PASSWORD)).toBe(true);
    await booted.end();
    expect(await imageDigest(disk.image)).toBe(before);
  });

  it('boots by UEFI', async () => {
    const disk = await copy('uefi');
    await expect(bootsToLogin(disk.image, 'uefi')).resolves.toBeUndefined();
  });

  it('that lacks grub.cfg stays at the prompt of its boot loader', async () => {
    const disk = await copy('bios-mbr');
    await disk.inside((system) => system.ok(['rm', '/boot/grub/grub.cfg']));
    const booted = await machine(disk);
    await booted.shows(/^grub>/m);
    expect(booted.console).not.toContain('Linux version');
  });

  const others: LayoutName[] = ['bios-gpt-boot', 'bios-mbr', 'bios-xfs', 'bios-btrfs'];
  it.runIf(process.env.INTERVENE_TEST_ALL).each(others)(
    'boots with the layout %s',
    async (name) => {
      const disk = await copy(name);
      await expect(bootsToLogin(disk.image, 'bios')).resolves.toBeUndefined();
    },
  );
});
