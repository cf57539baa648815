import type { NewFinding } from '../finding.ts';
import { REPAIRED_BY_HAND } from '../../bootloader/foreign-boot.ts';

/**
 * A finding of a system that `foreignBoot` has words for: what starts it is not repaired from outside. A partition
 * table is, whatever is started from it.
 */
export function byHandOnly<T extends NewFinding>(finding: T): T {
  const isRefused =
    finding.suggestion?.action === 'bootloader.repair' && finding.rule !== 'disk.gpt_main_bad';
  return isRefused ? { ...finding, suggestion: null, byHand: REPAIRED_BY_HAND } : finding;
}
