import { open, type FileHandle } from 'node:fs/promises';
import type { ActionContext } from '../../runner/action.ts';
import type { TargetLayout } from '../../target/open-target.ts';
import type { OpenDisks } from '../../target/offline/open-disks.ts';
import type { Volume } from '../../target/offline/volumes.ts';
import { coreBytes, hasModule } from './core-image.ts';

/** GPT type of the partition that GRUB's core image lies in on machines with a BIOS. */
const BIOS_BOOT = '21686148-6449-6e6f-744e-656564454649';
const ESP_TYPES = new Set(['c12a7328-f81f-11d2-ba4b-00a0c93ec93b', '0xef']);
const SECTOR_BYTES = 512;
/** Where boot.img keeps the sector of the core image (GRUB, boot.S). */
const CORE_SECTOR_AT = 0x5c;
const CORE_PROBE_BYTES = 64 * SECTOR_BYTES;
/** A core image that finds a file system is longer. */
const CORE_MIN_BYTES = 16 * 1024;
/** The gap before the first partition that GRUB embeds into. */
export const HEAD_BYTES = 1024 * 1024;

export interface BootSectors {
  /** `bios`: the disk is one that a BIOS boots; `uefi`: it has an EFI partition and no place for a core image. */
  firmware: 'bios' | 'uefi';
  /** What is wrong with the boot code; null when nothing is seen. */
  fault: { rule: 'boot.no_mbr_code' | 'boot.core_bad'; text: string } | null;
}

/** What GRUB reads its menu and the kernels from. */
export function bootVolume({ parts, system }: Pick<TargetLayout, 'parts' | 'system'>): Volume {
  return parts.find(({ mountPoint }) => mountPoint === '/boot')?.volume ?? system.root;
}

/** The disks that a system is started from: each that its /boot lies on, so that any of a RAID may fail. */
export function bootDisks(layout: TargetLayout): TargetLayout['disks'] {
  const { disks } = bootVolume(layout);
  return layout.disks.filter(({ given }) => disks.includes(given));
}

export function biosBootPartition(volumes: readonly Volume[], disk: string): Volume | undefined {
  return volumes.find(
    (volume) => volume.disk === disk && volume.partitionType?.toLowerCase() === BIOS_BOOT,
  );
}

export function isEsp({ partitionType }: Volume): boolean {
  return ESP_TYPES.has(partitionType?.toLowerCase() ?? '');
}

/** Looks at what a BIOS reads first; changes nothing. */
export async function readBootSectors(
  context: Pick<ActionContext, 'run'>,
  { volumes }: Pick<OpenDisks, 'volumes'>,
  disk: OpenDisks['disks'][number],
): Promise<BootSectors> {
  const own = volumes.filter((volume) => volume.disk === disk.given);
  if (own.some(isEsp) && biosBootPartition(volumes, disk.given) === undefined) {
    return { firmware: 'uefi', fault: null };
  }
  const handle = await open(disk.loop, 'r');
  try {
    const code = Buffer.alloc(SECTOR_BYTES);
    await handle.read(code, 0, SECTOR_BYTES, 0);
    if (code.readUInt16LE(0) !== 0x63eb || !code.includes('GRUB')) {
      const text = 'The disk does not begin with the boot code of GRUB.';
      return { firmware: 'bios', fault: { rule: 'boot.no_mbr_code', text } };
    }
    const sector = code.readBigUInt64LE(CORE_SECTOR_AT);
    const core = Buffer.alloc(CORE_PROBE_BYTES);
    const isOnDisk = sector < BigInt(Math.floor(disk.device.bytes / SECTOR_BYTES));
    if (isOnDisk) await handle.read(core, 0, core.length, Number(sector) * SECTOR_BYTES);
    if (core.filter((byte) => byte !== 0).length < CORE_MIN_BYTES) {
      const text = `There is no core image of GRUB at sector ${sector}, where the boot code looks for it.`;
      return { firmware: 'bios', fault: { rule: 'boot.core_bad', text } };
    }
    const text = await lackingModule(context, handle, Number(sector), own);
    if (text !== null) return { firmware: 'bios', fault: { rule: 'boot.core_bad', text } };
    return { firmware: 'bios', fault: null };
  } finally {
    await handle.close();
  }
}

/** What the core image at a sector is seen to lack, in a sentence; null where nothing is. */
async function lackingModule(
  context: Pick<ActionContext, 'run'>,
  disk: FileHandle,
  sector: number,
  partitions: readonly Volume[],
): Promise<string | null> {
  const first = Buffer.alloc(SECTOR_BYTES);
  await disk.read(first, 0, first.length, sector * SECTOR_BYTES);
  const bytes = coreBytes(first);
  if (bytes === null) return null;
  const core = Buffer.alloc(bytes);
  await disk.read(core, 0, bytes, sector * SECTOR_BYTES);
  const lacks = async (...names: string[]) => {
    for (const name of names) if ((await hasModule(context, core, name)) !== false) return false;
    return true;
  };
  const isDos = partitions.some(({ partitionType }) => partitionType?.startsWith('0x') === true);
  const table = isDos ? 'part_msdos' : 'part_gpt';
  if (await lacks(table)) return lackingText(table, 'the partition table of its disk');
  // With nothing but members of arrays on it, the menu lies on one of them.
  const hasPlain = partitions.some(({ type, layers }) => layers.length === 0 && isLinux(type));
  if (hasPlain || !partitions.some(({ type }) => type === 'linux_raid_member')) return null;
  return (await lacks('mdraid1x', 'mdraid09')) ? lackingText('mdraid1x', 'the RAID') : null;
}

const lackingText = (module: string, what: string) =>
  `The core image of GRUB has no ${module}: it cannot read ${what}.`;

/** What a /boot can be. */
function isLinux(type: string | null): boolean {
  return /^(?:ext[234]|xfs|btrfs)$/.test(type ?? '');
}

/** Whether a system of Linux may be started from a disk, by what lies on it. */
export function mayStart({ volumes }: Pick<OpenDisks, 'volumes'>, disk: string): boolean {
  return volumes.some(
    (volume) => volume.disk === disk && volume.partition !== null && isLinux(volume.type),
  );
}
