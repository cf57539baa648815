import { ActionError } from '../../../runner/action.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import type { TargetLayout } from '../../../target/open-target.ts';

const STUB_MAX_CHARACTERS = 16 * 1024;

/**
 * What is wrong with the few lines by which GRUB on an EFI partition finds its menu, as the end of a sentence;
 * null when nothing is. Lines that look for nothing by UUID are somebody's own, and are left alone.
 */
export function stubFault(text: string | null, volumes: readonly Volume[]): string | null {
  if (text === null || text.trim() === '') return 'is missing.';
  const search =
    /^[ \t]*search(?:\.fs_uuid|[ \t].*--fs-uuid)[ \t].*?\b([0-9a-fA-F][0-9a-fA-F-]{7,35})\b/gm;
  const named = [...text.slice(0, STUB_MAX_CHARACTERS).matchAll(search)].map(([, uuid]) => uuid!);
  const known = new Set(volumes.map(({ uuid }) => uuid?.toLowerCase()));
  if (named.length === 0 || named.some((uuid) => known.has(uuid.toLowerCase()))) return null;
  return `looks for ${named[0]}, which is on no disk.`;
}

/**
 * The stub as grub-install writes it. Throws ActionError `boot_not_supported` where the menu lies on what three
 * lines do not open.
 */
export function stubFor({ parts, system }: Pick<TargetLayout, 'parts' | 'system'>): string {
  const own = parts.find(({ mountPoint }) => mountPoint === '/boot');
  const { uuid, type } = own?.volume ?? system.root;
  const subvolume = own === undefined ? system.subvolume : null;
  if (uuid === null || (own !== undefined && type === 'btrfs')) {
    throw new ActionError('boot_not_supported', 'the file system of /boot cannot be named to GRUB');
  }
  const folder = own === undefined ? '/boot/grub' : '/grub';
  const prefix = subvolume === null ? folder : `/${subvolume}${folder}`;
  return [
    `search.fs_uuid ${uuid} root`,
    `set prefix=($root)'${prefix}'`,
    'configfile $prefix/grub.cfg',
    '',
  ].join('\n');
}
