import { describe, expect, it } from 'vitest';
import type { CommandResult } from '../../process/command.ts';
import type { Target } from '../../target/open-target.ts';
import { isInitramfsWhole } from './initramfs-state.ts';

const LISTED: CommandResult = {
  exitStatus: 0,
  signal: null,
  timedOut: false,
  out: 'init\nscripts/init-top\nusr/lib/modules/6.1.0-1/kernel/fs/ext4/ext4.ko\n',
  err: '',
  truncated: false,
};

function target(
  listed: Partial<CommandResult>,
  bytes = 2 * 1024 * 1024,
  layers: string[] = [],
): Target {
  const files = {
    stat: async () => ({ isFile: () => true, size: bytes }),
    read: async () => '',
  };
  const layout = { system: { root: { type: 'ext4', layers } } };
  return { files, layout, runInside: async () => ({ ...LISTED, ...listed }) } as unknown as Target;
}

const isWhole = (listed: Partial<CommandResult>, bytes?: number) =>
  isInitramfsWhole(target(listed, bytes), '6.1.0-1');

describe('an initramfs', () => {
  it('is whole when its list holds what starts a system and the driver of its root', async () => {
    expect(await isWhole({})).toBe(true);
    expect(await isWhole({ out: 'init\nscripts/init-top\n' })).toBe(false);
    expect(await isWhole({ out: '' })).toBe(false);
  });

  it('is broken when what lists it says so, and when it is too short for any', async () => {
    expect(await isWhole({ err: 'cpio: premature end of archive' })).toBe(false);
    expect(await isWhole({ exitStatus: 1 })).toBe(false);
    expect(await isWhole({}, 1000)).toBe(false);
  });

  it('is not called broken because this machine is slow', async () => {
    const slow = isWhole({ timedOut: true, exitStatus: null, signal: 'SIGKILL', out: 'init\n' });
    await expect(slow).rejects.toMatchObject({ reason: 'look_timed_out' });
  });

  it.each([
    ['LVM', 'usr/sbin/lvm'],
    ['RAID1 shop:0', 'sbin/mdadm'],
    ['LUKS', 'usr/sbin/cryptsetup'],
  ])('of a root on %s has the program that opens it', async (layer, program) => {
    const whole = (layers: string[], file: string) =>
      isInitramfsWhole(target({ out: `${LISTED.out}${file}\n` }, undefined, layers), '6.1.0-1');
    expect(await whole([layer], program)).toBe(true);
    expect(await whole([layer], `${program}.conf`)).toBe(false);
    expect(await whole([], 'etc/fstab')).toBe(true);
  });
});
