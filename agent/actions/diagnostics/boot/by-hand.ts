import type { TargetFiles } from '../../../target/target-files.ts';
import { kernelVersions } from '../../bootloader/boot-menu.ts';
import { foreignBoot, REPAIRED_BY_HAND } from '../../bootloader/foreign-boot.ts';
import type { NewFinding } from '../finding.ts';

/** What comes first where there is nothing to start. */
export const KERNEL_FIRST =
  'Look first whether a file system that fstab has for /boot is missing. Otherwise install a kernel again from a ' +
  'rescue system, with the packages of its distribution (chroot; apt-get install linux-image-amd64); then order ' +
  'bootloader.repair.';

/** What a person does about the boot of a system that `bootloader.repair` refuses; null where it does not. */
export async function bootByHand(files: TargetFiles): Promise<string | null> {
  if ((await foreignBoot(files)) !== null) return REPAIRED_BY_HAND;
  return (await kernelVersions(files)).length === 0 ? KERNEL_FIRST : null;
}

/**
 * A finding of a system that `bootByHand` has words for: what starts it is not repaired from outside. A partition
 * table is, whatever is started from it.
 */
export function byHandOnly<T extends NewFinding>(finding: T, byHand: string): T {
  const isRefused =
    finding.suggestion?.action === 'bootloader.repair' && finding.rule !== 'disk.gpt_main_bad';
  return isRefused ? { ...finding, suggestion: null, byHand } : finding;
}
