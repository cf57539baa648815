import type { TargetFiles } from '../../target/target-files.ts';
import { MAP_PREFIX } from '../../target/offline/stack/device-mapper.ts';
import { RAID_NUMBERS } from '../../target/offline/stack/raid.ts';
import type { Volume } from '../../target/offline/volumes.ts';

export const GRUB_CFG = '/boot/grub/grub.cfg';
const MAX_BYTES = 1024 * 1024;

/** Versions of the kernels that lie in /boot, the oldest first. */
export async function kernelVersions(files: TargetFiles): Promise<string[]> {
  const names = await files.list('/boot');
  return names
    .filter((name) => /^vmlinuz-[\w.+~-]+$/.test(name))
    .map((name) => name.slice('vmlinuz-'.length))
    .toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

export const initramfsOf = (version: string) => `/boot/initrd.img-${version}`;

/** What keeps the menu from starting a kernel, in sentences; empty when nothing does. */
export async function menuFaults(
  files: TargetFiles,
  volumes: readonly Volume[],
  root: Volume,
): Promise<string[]> {
  const text = await files.read(GRUB_CFG, MAX_BYTES).catch(() => null);
  if (text === null || text.trim() === '') return ['There is no grub.cfg.'];
  const kernels = [...text.matchAll(/^[ \t]*linux(?:16|efi)?[ \t]+(\S+)(.*)$/gm)];
  if (kernels.length === 0) return ['grub.cfg starts no kernel.'];
  const faults = new Set<string>();
  for (const [, path, words] of kernels) {
    if (!(await isInBoot(files, path!))) faults.add(`grub.cfg names ${path}, which is not there.`);
    const [, named] = /\sroot=(\S+)/.exec(words!) ?? [];
    if (named !== undefined && !isRoot(named, root)) {
      faults.add(`grub.cfg names ${named} as the root, which is not this system's.`);
    }
  }
  for (const [, path] of text.matchAll(/^[ \t]*initrd(?:16|efi)?[ \t]+(\S+)/gm)) {
    if (!(await isInBoot(files, path!))) faults.add(`grub.cfg names ${path}, which is not there.`);
  }
  const known = new Set(volumes.map(({ uuid }) => uuid?.toLowerCase()));
  for (const words of text.split('\n').map((line) => line.trim().split(/\s+/))) {
    const uuid = words.at(-1)!;
    if (words[0] !== 'search' || !words.includes('--fs-uuid')) continue;
    if (/^[0-9a-fA-F-]{9,36}$/.test(uuid) && !known.has(uuid.toLowerCase()))
      faults.add(`grub.cfg looks for ${uuid}, which is on no disk.`);
  }
  return [...faults].slice(0, 20);
}

/** GRUB names files from the root of the file system that holds /boot, which may be /boot itself. */
async function isInBoot(files: TargetFiles, path: string): Promise<boolean> {
  if (path.includes('$')) return true;
  const plain = path.replace(/^\([^)]*\)/, '').replace(/^\/@[^/]*/, '');
  for (const place of [`/boot${plain}`, plain]) {
    const found = await files.stat(place).catch(() => null);
    if (found !== null && found.isFile() && found.size > 0) return true;
  }
  return false;
}

/** What a job has opened is called so while it runs: that is the root of no boot. */
function isOfJob(named: string): boolean {
  const [, array] = /^\/dev\/md(\d+)$/.exec(named) ?? [];
  const { first, last } = RAID_NUMBERS;
  if (array !== undefined) return Number(array) >= first && Number(array) <= last;
  return ['loop', 'dm-', `mapper/${MAP_PREFIX}`].some((name) => named.startsWith(`/dev/${name}`));
}

/** What a path means is known of logical volumes alone; other names stand in the system's own /etc. */
function isRoot(named: string, root: Volume): boolean {
  const [, tag, value] = /^(UUID|PARTUUID|LABEL)=(.+)$/.exec(named) ?? [];
  if (tag === 'UUID') return value!.toLowerCase() === root.uuid?.toLowerCase();
  if (tag === 'PARTUUID') return value!.toLowerCase() === root.partitionUuid?.toLowerCase();
  if (tag === 'LABEL') return value === root.label;
  if (isOfJob(named)) return false;
  return root.layers.at(-1) !== 'LVM' || root.paths.includes(named);
}
