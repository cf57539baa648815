import { bootloaderRepairParameters, type BootPart } from '../../../proto/actions/bootloader.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target, TargetLayout } from '../../target/open-target.ts';
import { DEFAULTS, defaultOf, entryOf, savedChoiceFault, withDefault } from './boot-choice.ts';
import { bootDisk, readBootSectors } from './boot-sectors.ts';
import { GRUB_CFG, initramfsOf, kernelVersions, menuFaults } from './boot-menu.ts';
import { inspectEsps, type EspState } from './esp/inspect-esps.ts';
import { isInitramfsWhole } from './initramfs-state.ts';

const CONFIG_MAX_BYTES = 1024 * 1024;
/** What can stand in a menu and in a shell's file as it is. */
const ENTRY_ID = /^[\w.+~>-]{1,300}$/;

export interface BootState {
  layout: TargetLayout;
  disk: TargetLayout['disks'][number];
  versions: string[];
  /** What is wrong with each part, in sentences. */
  faults: Record<BootPart, string[]>;
  /** Whether boot code and core image are to be written to the disk. */
  installsOnDisk: boolean;
  /** EFI partitions that are to be written to. */
  esps: EspState[];
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
  /** Null: it says so already. */
  defaults: string | null;
}

/**
 * Looks at everything a boot goes through. Throws ActionError `boot_not_supported` for a loader other than
 * GRUB 2, `no_kernel` where there is nothing to start, `kernel_missing` for one that was asked for, and
 * `no_loader_files` where an EFI partition lacks what the system has no copy of.
 */
export async function inspectBoot(context: ActionContext, target: Target): Promise<BootState> {
  const { layout, files } = target;
  if (layout === null) {
    throw new ActionError('target_missing', 'name the disk of the system: --disk');
  }
  const { parts, kernel } = bootloaderRepairParameters.parse(context.spec.parameters);
  const disk = bootDisk(layout);
  const versions = await kernelVersions(files);
  if (versions.length === 0) {
    throw new ActionError(
      'no_kernel',
      'there is no kernel in /boot: it has to be installed anew, which needs packages',
    );
  }
  const forces = (part: BootPart) => parts?.includes(part) === true;
  const sectors = await readBootSectors(context, layout, disk);
  const esps = await espsOf(context, target, sectors.firmware, forces('loader'));
  const broken: string[] = [];
  for (const version of versions) {
    if (!(await isInitramfsWhole(target, version))) broken.push(version);
  }
  const menu = await menuFaults(files, layout.volumes, layout.system.root);
  const choice = kernel === undefined ? null : await chooseKernel(target, versions, kernel);
  const saved = await savedChoiceFault(files).catch(() => null);
  const faults = {
    loader: [
      ...(sectors.fault === null ? [] : [sectors.fault.text]),
      ...esps.flatMap((esp) => esp.faults.map(({ text }) => text)),
    ],
    initramfs: broken.map((version) => `${initramfsOf(version)} is missing or broken.`),
    config: [...menu, ...(saved === null ? [] : [saved.text])],
  };
  const makesMenu =
    menu.length > 0 || forces('config') || (choice !== null && !(await isChosen(target, choice)));
  const installsOnDisk =
    sectors.fault !== null || (forces('loader') && sectors.firmware === 'bios');
  if (installsOnDisk) requirePartitions(layout, disk.given);
  return {
    layout,
    disk,
    versions,
    faults,
    installsOnDisk,
    esps: esps.filter(({ writes }) => writes.length > 0),
    brokenInitramfs: forces('initramfs') ? versions : broken,
    choice,
    makesMenu,
    saved: saved?.kind ?? null,
    wanted: (['loader', 'initramfs', 'config'] as const).filter(
      (part) => faults[part].length > 0 || forces(part) || (part === 'config' && makesMenu),
    ),
  };
}

/** Without a partition table there is no place for a core image: it would lie in the mounted file system. */
function requirePartitions({ volumes }: TargetLayout, disk: string): void {
  const isWhole = volumes.some(
    (volume) => volume.disk === disk && volume.partition === null && volume.layers.length === 0,
  );
  if (!isWhole) return;
  throw new ActionError(
    'boot_not_supported',
    `${disk} has no partition table, so there is no place on it for a boot loader`,
  );
}

/** Where a disk boots by BIOS too, only those that hold this system's loader already. */
async function espsOf(
  context: ActionContext,
  target: Target,
  firmware: 'bios' | 'uefi',
  anew: boolean,
): Promise<EspState[]> {
  let esps: EspState[];
  try {
    esps = await inspectEsps(context, target, { anew: anew && firmware === 'uefi' });
  } catch (error) {
    if (firmware === 'uefi' || !(error instanceof ActionError)) throw error;
    context.note(`The EFI partition is left alone: ${error.message}`);
    return [];
  }
  const own = esps.filter(({ hasVendor }) => firmware === 'uefi' || hasVendor);
  const lacking = own.find(({ faults, writes }) => faults.length > 0 && writes.length === 0);
  if (lacking !== undefined) {
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
  const text = (await files.read(DEFAULTS).catch(() => null)) ?? '';
  return { id: entry.id, defaults: withDefault(text, entry.id) };
}

async function isChosen({ files }: Target, { id }: BootChoice): Promise<boolean> {
  const menu = await files.read(GRUB_CFG, CONFIG_MAX_BYTES).catch(() => null);
  return menu !== null && defaultOf(menu) === id;
}
