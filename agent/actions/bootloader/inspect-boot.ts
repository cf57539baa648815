import {
  bootloaderRepairParameters,
  bootParts,
  type BootPart,
} from '../../../proto/actions/bootloader.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target, TargetLayout } from '../../target/open-target.ts';
import { DEFAULTS, defaultOf, entryOf, savedChoiceFault, withDefault } from './boot-choice.ts';
import { bootDisks, bootVolume, readBootSectors } from './boot-sectors.ts';
import { foreignBoot, REPAIRED_BY_HAND } from './foreign-boot.ts';
import { GRUB_CFG, initramfsOf, kernelVersions, menuFaults } from './boot-menu.ts';
import { inspectEsps, isWithoutFiles, type EspState } from './esp/inspect-esps.ts';
import {
  lookAtFirmware,
  planEntries,
  type BootEntries,
  type EntryChange,
  type Firmware,
} from './firmware/boot-entries.ts';
import { isInitramfsWhole } from './initramfs-state.ts';
import { describeVolume } from '../../target/offline/volumes.ts';

const CONFIG_MAX_BYTES = 1024 * 1024;
/** What can stand in a menu and in a shell's file as it is. */
const ENTRY_ID = /^[\w.+~>-]{1,300}$/;

export interface BootState {
  layout: TargetLayout;
  /** Those that the system is started from. */
  disks: TargetLayout['disks'];
  versions: string[];
  /** What is wrong with each part, in sentences. */
  faults: Record<BootPart, string[]>;
  /** What is not repaired, and why, in sentences. */
  left: string[];
  /** Those of the disks that boot code and core image are to be written to. */
  installsOn: TargetLayout['disks'];
  /** EFI partitions that are to be written to. */
  esps: EspState[];
  /** What the firmware starts, and is to start; null where its entries stay as they are. */
  entries: { before: BootEntries; change: EntryChange } | null;
  /** Kernels whose initramfs is missing or broken. */
  brokenInitramfs: string[];
  /** The entry to start from now on, and /etc/default/grub with it; null where none was asked for. */
  choice: BootChoice | null;
  /** Whether the boot menu is to be made anew. */
  makesMenu: boolean;
  /** What is wrong with the entry that GRUB has saved. */
  saved: 'gone' | 'broken' | null;
  /** What is to be made anew, in the order of a boot. */
  wanted: BootPart[];
}

export interface BootChoice {
  id: string;
  /** As latin1, so that no byte is another when it is written; null: it says so already. */
  defaults: string | null;
  /** Whether the menu starts it already. */
  isInMenu: boolean;
}

/**
 * Looks at everything a boot goes through. Throws ActionError `boot_not_supported` for a loader other than
 * GRUB 2 as Debian has it, for one on a disk without partitions and for what cannot be made from outside;
 * `no_kernel` where there is nothing to start, `kernel_missing` for one that was asked for, and
 * `no_loader_files` where an EFI partition lacks what the system has no copy of.
 */
export async function inspectBoot(context: ActionContext, target: Target): Promise<BootState> {
  const { layout, files } = target;
  if (layout === null) {
    throw new ActionError('target_missing', 'name the disk of the system: --disk');
  }
  const foreign = await foreignBoot(files);
  if (foreign !== null) {
    const what = 'the boot of this system is not looked at, and not repaired from outside';
    throw new ActionError('boot_not_supported', `${what}, since ${foreign}. ${REPAIRED_BY_HAND}`);
  }
  const { parts, kernel } = bootloaderRepairParameters.parse(context.spec.parameters);
  const disks = bootDisks(layout);
  const versions = await kernelVersions(files);
  if (versions.length === 0) {
    throw new ActionError(
      'no_kernel',
      'there is no kernel in /boot: it has to be installed anew, which needs packages',
    );
  }
  const forces = (part: BootPart) => parts?.includes(part) === true;
  const asks = (part: BootPart) => parts === undefined || forces(part);
  const sectors = await sectorsOf(context, layout, disks);
  const [whole] = sectors.filter(({ isWhole }) => isWhole);
  if (whole !== undefined && forces('loader')) {
    throw new ActionError('boot_not_supported', noTable(whole.disk));
  }
  const boots = sectors.some((one) => one.firmware === 'bios') ? 'bios' : 'uefi';
  const firmware = await lookAtFirmware(layout);
  const esps = await espsOf(context, target, firmware, {
    boots,
    asked: asks('loader'),
    anew: forces('loader'),
  });
  const broken: string[] = [];
  for (const version of versions) {
    if (!(await isInitramfsWhole(target, version))) broken.push(version);
  }
  const menu = await menuFaults(files, layout.volumes, layout.system.root);
  const choice = kernel === undefined ? null : await chooseKernel(target, versions, kernel);
  const saved = await savedChoiceFault(files).catch(() => null);
  const faults = {
    loader: [
      ...sectors.flatMap(({ fault }) => fault ?? []),
      ...esps.flatMap((esp) => esp.faults.map(({ text }) => text)),
    ],
    initramfs: broken.map((version) => `${initramfsOf(version)} is missing or broken.`),
    config: [...menu, ...(saved === null ? [] : [saved.text])],
  };
  const isConfig = asks('config') || choice !== null;
  const makesMenu =
    (isConfig && menu.length > 0) || forces('config') || (choice !== null && !choice.isInMenu);
  const wanted = bootParts.filter(
    (part) =>
      forces(part) ||
      (faults[part].length > 0 && (part === 'config' ? isConfig : asks(part))) ||
      (part === 'config' && makesMenu),
  );
  const mends = wanted.includes('loader');
  const installsOn = sectors
    .filter((one) => one.fault !== null || (forces('loader') && one.firmware === 'bios'))
    .map(({ disk }) => disk);
  if (mends && installsOn.length > 0) requireReadable(layout);
  const brokenInitramfs = forces('initramfs') ? versions : asks('initramfs') ? broken : [];
  if (brokenInitramfs.length > 0) {
    requireOpenRoot(layout);
    await requireMaker(target, brokenInitramfs[0]!);
  }
  return {
    layout,
    disks,
    versions,
    faults,
    left: [
      ...bootParts
        .filter((part) => !wanted.includes(part))
        .flatMap((part) => faults[part].map((text) => `Left, since it is not ordered: ${text}`)),
      ...sectors
        .filter(({ isWhole }) => isWhole)
        .map(({ disk }) => `${noTable(disk)}: what starts it is not looked at.`),
      ...entriesLeft(esps),
    ],
    installsOn: mends ? installsOn : [],
    esps: mends ? esps.filter(({ writes }) => writes.length > 0) : [],
    entries: mends ? await entriesOf(layout, firmware, esps) : null,
    brokenInitramfs,
    choice,
    makesMenu,
    saved: isConfig ? (saved?.kind ?? null) : null,
    wanted,
  };
}

interface DiskSectors {
  disk: TargetLayout['disks'][number];
  firmware: 'bios' | 'uefi';
  /** It has no partition table. */
  isWhole: boolean;
  /** In a sentence; with several disks it names this one. */
  fault: string | null;
}

/** What each disk begins with that the system may be started from. */
async function sectorsOf(
  context: ActionContext,
  layout: TargetLayout,
  disks: TargetLayout['disks'],
): Promise<DiskSectors[]> {
  const found: DiskSectors[] = [];
  for (const disk of disks) {
    const { firmware, fault } = await readBootSectors(context, layout, disk);
    const isWhole = isWholeDisk(layout, disk.given);
    const text = fault === null || isWhole ? null : fault.text;
    const named = text !== null && disks.length > 1 ? `${disk.given}: ${text}` : text;
    found.push({ disk, firmware, isWhole, fault: named });
  }
  return found;
}

const noTable = ({ given }: TargetLayout['disks'][number]) =>
  `${given} has no partition table, so there is no place on it for a boot loader`;

/** grub-install finds out by itself what GRUB needs to read /boot; of LVM and LUKS it sees nothing here. */
function requireReadable(layout: TargetLayout): void {
  const volume = bootVolume(layout);
  if (volume.layers.every((layer) => /^RAID\d+ /.test(layer))) return;
  throw new ActionError(
    'boot_not_supported',
    `/boot lies on ${describeVolume(volume)}: a loader for that is not installed from outside. Start the ` +
      'system from a rescue medium of its distribution, and run grub-install within it',
  );
}

/** mkinitramfs takes the settings of a key from devices that the running system has open. */
function requireOpenRoot({ system }: TargetLayout): void {
  if (!system.root.layers.includes('LUKS')) return;
  throw new ActionError(
    'boot_not_supported',
    `the root lies on ${describeVolume(system.root)}: an initramfs that opens it is not made from outside. ` +
      'Start the system from a rescue medium of its distribution, and run update-initramfs within it',
  );
}

async function requireMaker({ files }: Target, version: string): Promise<void> {
  if ((await files.stat('/usr/sbin/mkinitramfs').catch(() => null)) !== null) return;
  throw new ActionError(
    'boot_not_supported',
    `this system has no mkinitramfs, so what makes ${initramfsOf(version)} is not known here. Within the system, ` +
      'or from a rescue medium of its distribution: dracut -f --kver VERSION, or install initramfs-tools again. ' +
      'The other parts can be ordered without it (parts)',
  );
}

/** A core image would lie in the mounted file system. */
function isWholeDisk({ volumes }: TargetLayout, disk: string): boolean {
  return volumes.some(
    (volume) => volume.disk === disk && volume.partition === null && volume.layers.length === 0,
  );
}

async function entriesOf(
  layout: TargetLayout,
  { boot }: Firmware,
  esps: readonly EspState[],
): Promise<BootState['entries']> {
  const wishes = esps.flatMap(({ entry }) => (entry === null ? [] : [entry]));
  if (boot === null || wishes.length === 0) return null;
  return { before: boot, change: await planEntries(layout, boot, wishes) };
}

function entriesLeft(esps: readonly EspState[]): string[] {
  const reasons = new Set(esps.flatMap(({ whyNoEntry }) => whyNoEntry ?? []));
  return [...reasons].map(
    (why) =>
      `No entry of the firmware is written, since ${why}: the removable path of the EFI partition starts the system.`,
  );
}

/** Where a disk boots by BIOS too, only those that hold this system's loader already. */
async function espsOf(
  context: ActionContext,
  target: Target,
  firmware: Firmware,
  { boots, asked, anew }: { boots: 'bios' | 'uefi'; asked: boolean; anew: boolean },
): Promise<EspState[]> {
  let esps: EspState[];
  try {
    esps = await inspectEsps(context, target, { anew: anew && boots === 'uefi', firmware });
  } catch (error) {
    if ((boots === 'uefi' && asked) || !(error instanceof ActionError)) throw error;
    context.note(`The EFI partition is left alone: ${error.message}`);
    return [];
  }
  const own = esps.filter(({ hasVendor }) => boots === 'uefi' || hasVendor);
  const lacking = own.find(isWithoutFiles);
  if (asked && lacking !== undefined) {
    throw new ActionError(
      'no_loader_files',
      `${lacking.faults[0]!.text} The system has no copy of it: its package has to be installed, such as grub-efi-amd64-signed with shim-signed`,
    );
  }
  return own;
}

/** The entry of a kernel that was asked for: a version, or the one before the newest. */
async function chooseKernel(
  { files }: Target,
  versions: readonly string[],
  asked: string,
): Promise<BootChoice> {
  const version = asked === 'previous' ? versions.at(-2) : asked;
  if (version === undefined || !versions.includes(version)) {
    const there = `/boot has ${versions.join(', ')}`;
    throw new ActionError('kernel_missing', `there is no such kernel (${asked}): ${there}`);
  }
  const menu = (await files.read(GRUB_CFG, CONFIG_MAX_BYTES).catch(() => null)) ?? '';
  const entry = entryOf(menu, version);
  if (entry === null || !ENTRY_ID.test(entry.id)) {
    const why = 'repair the menu first, and plan again';
    throw new ActionError('kernel_missing', `the boot menu has no entry for ${version}: ${why}`);
  }
  const text = (await files.readWhole(DEFAULTS))?.toString('latin1') ?? '';
  const isInMenu = defaultOf(menu) === entry.id;
  return { id: entry.id, defaults: withDefault(text, entry.id), isInMenu };
}
