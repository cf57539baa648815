import { osIds } from '../../target/os-ids.ts';
import type { TargetFiles } from '../../target/target-files.ts';

const ENTRIES = '/boot/loader/entries';
/** Either of them makes a boot the way that is repaired here. */
const OWN_PROGRAMS = ['/usr/sbin/grub-mkconfig', '/usr/sbin/mkinitramfs'];
const FAMILIES = new Set(['fedora', 'rhel', 'centos', 'suse', 'opensuse', 'sles']);

/** What a person does where `foreignBoot` says why. */
export const REPAIRED_BY_HAND =
  'Within the system, or from a rescue medium of its distribution: grub2-mkconfig -o ' +
  '/boot/grub2/grub.cfg for the menu, grubby for entries in /boot/loader/entries, dracut -f --kver VERSION for ' +
  'an initramfs; grub2-install DISK only where a BIOS starts it. Where UEFI does, never grub2-install: install ' +
  'the packages grub2-efi-x64 and shim-x64 again.';

/**
 * What shows, in words that go on from "since", that a system is started by other files and programs than those
 * that are looked at and made here: GRUB 2 as RHEL and SUSE have it, with dracut. Null where nothing does.
 */
export async function foreignBoot(
  files: Pick<TargetFiles, 'stat' | 'list' | 'read'>,
): Promise<string | null> {
  for (const program of OWN_PROGRAMS) {
    if ((await files.stat(program).catch(() => null)) !== null) return null;
  }
  const signs: string[] = [];
  if ((await files.stat('/boot/grub2').catch(() => null)) !== null) signs.push('/boot/grub2');
  const entries = await files.list(ENTRIES).catch(() => []);
  if (entries.some((name) => name.endsWith('.conf'))) signs.push(ENTRIES);
  const family = (await osIds(files).catch(() => [])).find((id) => FAMILIES.has(id));
  if (family !== undefined) signs.push(`a system of the family ${family}`);
  if (signs.length === 0) return null;
  return `there is ${signs.join(', ')} and neither grub-mkconfig nor mkinitramfs`;
}
