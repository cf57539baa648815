import { bootloaderRepairParameters, type BootPart } from '../../../proto/actions/bootloader.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target, TargetLayout } from '../../target/open-target.ts';
import { bootDisk, readBootSectors } from './boot-sectors.ts';
import { initramfsOf, kernelVersions, menuFaults } from './boot-menu.ts';

const LOOK_WITHIN_MS = 2 * 60_000;
/** Shorter than any that finds a root file system. */
const INITRAMFS_MIN_BYTES = 1024 * 1024;

export interface BootState {
  layout: TargetLayout;
  disk: TargetLayout['disks'][number];
  versions: string[];
  /** What is wrong with each part, in sentences. */
  faults: Record<BootPart, string[]>;
  /** Kernels whose initramfs is missing or broken. */
  brokenInitramfs: string[];
  /** What is to be made anew, in the order of a boot. */
  wanted: BootPart[];
}

/**
 * Looks at everything a boot goes through. Throws ActionError `boot_not_supported` for a loader other than
 * GRUB 2 on a BIOS, and `no_kernel` where there is nothing to start.
 */
export async function inspectBoot(context: ActionContext, target: Target): Promise<BootState> {
  const { layout, files } = target;
  if (layout === null) {
    throw new ActionError('target_missing', 'name the disk of the system: --disk');
  }
  const { parts } = bootloaderRepairParameters.parse(context.spec.parameters);
  const disk = bootDisk(layout);
  const versions = await kernelVersions(files);
  if (versions.length === 0) {
    throw new ActionError(
      'no_kernel',
      'there is no kernel in /boot: it has to be installed anew, which needs packages',
    );
  }
  const sectors = await readBootSectors(context, layout, disk);
  const broken: string[] = [];
  for (const version of versions) {
    if (!(await isInitramfsWhole(target, version))) broken.push(version);
  }
  const faults = {
    loader: sectors.fault === null ? [] : [sectors.fault.text],
    initramfs: broken.map((version) => `${initramfsOf(version)} is missing or broken.`),
    config: await menuFaults(files, layout.volumes, layout.system.root),
  };
  const wanted = (['loader', 'initramfs', 'config'] as const).filter(
    (part) => faults[part].length > 0 || parts?.includes(part) === true,
  );
  if (wanted.includes('loader') && sectors.firmware === 'uefi') {
    throw new ActionError(
      'boot_not_supported',
      'the loader on an EFI partition is not made anew by this version; its menu and initramfs are (parts)',
    );
  }
  const wantsAll = parts?.includes('initramfs') === true;
  return { layout, disk, versions, faults, wanted, brokenInitramfs: wantsAll ? versions : broken };
}

/** lsinitramfs ends with 0 whatever it finds: its words and its list tell (initramfs-tools). */
async function isInitramfsWhole(
  { files, layout, runInside }: Target,
  version: string,
): Promise<boolean> {
  const path = initramfsOf(version);
  const found = await files.stat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size < INITRAMFS_MIN_BYTES) return false;
  const listed = await runInside(['lsinitramfs', path], {
    output: 'capture',
    timeoutMs: LOOK_WITHIN_MS,
  });
  if (listed.exitStatus !== 0 || /premature|error|cannot|not found|corrupt/i.test(listed.err)) {
    return false;
  }
  if (!/^(?:\.\/)?(?:init|scripts\/|usr\/|bin)/m.test(listed.out)) return false;
  const builtIn = await files.read(`/lib/modules/${version}/modules.builtin`).catch(() => null);
  const driver = layout?.system.root.type;
  // Without the driver of its root the kernel finds none.
  const pattern = new RegExp(`/${driver}\\.ko(?:\\.\\w+)?$`, 'm');
  return driver === undefined || pattern.test(listed.out) || pattern.test(builtIn ?? '');
}
