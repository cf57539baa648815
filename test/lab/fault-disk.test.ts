import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Daemon, eventually, must, run } from '../harness/process.ts';
import { FaultDisk, goldenImage, HOSTNAME, imageDigest, layouts } from './index.ts';
import type { LayoutName } from './index.ts';

async function copy(name: LayoutName): Promise<FaultDisk> {
  const disk = await FaultDisk.copy(name);
  onTestFinished(() => disk.close());
  return disk;
}

const CHECKS = {
  ext4: ['e2fsck', '-fn'],
  xfs: ['xfs_repair', '-n'],
  btrfs: ['btrfs', 'check', '--readonly'],
};

describe('a disk of the laboratory', () => {
  it.each(Object.keys(layouts) as LayoutName[])(
    '%s holds a sound file system with a Debian whose fstab names it',
    async (name) => {
      const disk = await copy(name);
      await disk.device('root', (device) => must([...CHECKS[disk.layout.rootType], device]));
      const { offset } = disk.partition('root');
      const found = await must([
        'blkid',
        '--probe',
        '-O',
        String(offset),
        '-s',
        'UUID',
        '-o',
        'value',
        disk.image,
      ]);
      await disk.inside(async (system) => {
        expect(system.read('etc/fstab')).toContain(`UUID=${found.trim()} / `);
        expect(system.read('boot/grub/grub.cfg')).toContain(`root=UUID=${found.trim()} `);
        expect(await system.ok(['cat', '/etc/hostname'])).toBe(`${HOSTNAME}\n`);
      });
    },
  );

  it('is a copy: what is done to it does not reach the golden image', async () => {
    const golden = await goldenImage('bios-gpt');
    const before = await imageDigest(golden);
    const disk = await copy('bios-gpt');
    await disk.inside((system) => system.write('etc/hostname', 'other\n'));
    await disk.writeBytes(0, Buffer.alloc(440));
    expect(await imageDigest(golden)).toBe(before);
    expect(await disk.inside((system) => system.read('etc/hostname'))).toBe('other\n');
  });

  it('shows its own programs no device of this machine', async () => {
    const disk = await copy('bios-gpt');
    const names = await disk.inside((system) => system.ok(['find', '/dev', '-type', 'b']));
    expect(names).toBe('');
  });

  it('has an ESP that mtools reads where its layout says so', async () => {
    const disk = await copy('uefi');
    const listed = await disk.mtools('mdir', '-b', '::/EFI/debian');
    expect(listed.stdout).toContain('::/EFI/debian/grubx64.efi');
  });

  it('leaves no mount and no loop device when the process that mounted it is killed', async () => {
    const disk = await copy('bios-gpt');
    const held = () =>
      execFileSync('losetup', ['--list', '--output', 'BACK-FILE'], { encoding: 'utf8' });
    const script = [
      `const { MountedSystem } = await import(${JSON.stringify(`${import.meta.dirname}/index.ts`)});`,
      `const part = ${JSON.stringify(disk.partition('root'))};`,
      `await MountedSystem.open([{ source: ${JSON.stringify(disk.image)}, part, at: '/' }]);`,
    ].join('\n');
    const log = `${disk.folder}/child.log`;
    const child = new Daemon([process.execPath, '--input-type=module', '--eval', script], log);
    child.start();
    await eventually('the disk is mounted', () => held().includes(disk.image)).catch((error) => {
      throw new Error(readFileSync(log, 'utf8'), { cause: error });
    });
    await child.end('SIGKILL');
    await eventually('the loop device is gone', () => !held().includes(disk.image));
    expect(
      (await run(['e2fsck', '-fn', `${disk.image}?offset=${disk.partition('root').offset}`]))
        .status,
    ).toBe(0);
  });
});
