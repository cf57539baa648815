import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import type { MountedSystem } from '../../../../test/lab/index.ts';

/** Makes the boot of a Debian one that RHEL has: other places, other names, none of Debian's programs. */
export function layAsRhel(system: MountedSystem): void {
  const boot = system.path('boot');
  renameSync(`${boot}/grub`, `${boot}/grub2`);
  system.write('boot/grub2/grub.cfg', 'insmod part_gpt\ninsmod blscfg\nblscfg\n', 0o600);
  mkdirSync(`${boot}/loader/entries`, { recursive: true });
  for (const name of readdirSync(boot).filter((one) => one.startsWith('initrd.img-'))) {
    const version = name.slice('initrd.img-'.length);
    renameSync(`${boot}/${name}`, `${boot}/initramfs-${version}.img`);
    const lines = [`linux /boot/vmlinuz-${version}`, `initrd /boot/initramfs-${version}.img`];
    system.write(`boot/loader/entries/0123-${version}.conf`, [...lines, ''].join('\n'));
  }
  for (const program of ['mkinitramfs', 'update-initramfs']) {
    rmSync(system.path(`usr/sbin/${program}`));
  }
  for (const program of ['mkconfig', 'install']) {
    renameSync(system.path(`usr/sbin/grub-${program}`), system.path(`usr/sbin/grub2-${program}`));
  }
}
