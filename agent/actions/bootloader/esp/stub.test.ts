import { describe, expect, it } from 'vitest';
import type { Volume } from '../../../target/offline/volumes.ts';
import { stubFault, stubFor } from './stub.ts';

const ROOT = '0c1a2b3c-0000-4000-8000-000000000001';
const BOOT = '0c1a2b3c-0000-4000-8000-000000000002';
const volume = (uuid: string | null, type = 'ext4') => ({ uuid, type }) as Volume;
const volumes = [volume(null), volume(ROOT), volume(BOOT)];
const system = (root: Volume, subvolume: string | null = null) => ({ root, subvolume }) as never;

describe('the stub on an EFI partition', () => {
  it('has a fault where it is missing, or looks for what is on no disk', () => {
    const other = 'deadbeef-0000-4000-8000-000000000000';
    expect(stubFault(null, volumes)).toBe('is missing.');
    expect(stubFault(' \n', volumes)).toBe('is missing.');
    expect(stubFault(`search.fs_uuid ${other} root hd0,gpt2\n`, volumes)).toContain(other);
    expect(stubFault(`search --no-floppy --fs-uuid --set=root ${other}\n`, volumes)).toContain(
      other,
    );
  });

  it('has none where it finds one of the file systems, or is of another kind', () => {
    expect(stubFault(`search.fs_uuid ${ROOT} root\n`, volumes)).toBeNull();
    expect(
      stubFault(`search --no-floppy --fs-uuid --set=root ${BOOT.toUpperCase()}\n`, volumes),
    ).toBeNull();
    expect(stubFault('configfile (hd0,gpt2)/grub/grub.cfg\n', volumes)).toBeNull();
  });

  it('names the file system of /boot, and the way to it', () => {
    const parts = [{ mountPoint: '/', volume: volume(ROOT) }];
    expect(stubFor({ parts, system: system(volume(ROOT)) })).toBe(
      `search.fs_uuid ${ROOT} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n`,
    );
    const own = [...parts, { mountPoint: '/boot', volume: volume(BOOT) }];
    expect(stubFor({ parts: own, system: system(volume(ROOT)) })).toContain(
      `search.fs_uuid ${BOOT} root\nset prefix=($root)'/grub'`,
    );
    const btrfs = stubFor({ parts, system: system(volume(ROOT, 'btrfs'), '@rootfs') });
    expect(btrfs).toContain("set prefix=($root)'/@rootfs/boot/grub'");
  });

  it('is not made where /boot has no name for GRUB', () => {
    expect(() => stubFor({ parts: [], system: system(volume(null)) })).toThrow(/cannot be named/);
  });
});
