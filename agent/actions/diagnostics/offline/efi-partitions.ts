import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { biosBootPartition, bootDisk, isEsp } from '../../bootloader/boot-sectors.ts';
import { inspectEsps, type EspFault } from '../../bootloader/esp/inspect-esps.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';

const RULES: Readonly<Record<EspFault['rule'], Pick<NewFinding, 'severity' | 'title' | 'byHand'>>> =
  {
    'boot.esp_loader_missing': {
      severity: 'critical',
      title: 'The firmware finds no boot loader that it could start',
      byHand: 'grub-install --target=x86_64-efi --efi-directory=/boot/efi, from the system itself.',
    },
    'boot.esp_stub': {
      severity: 'critical',
      title: 'GRUB on the EFI partition does not find its menu',
      byHand: 'Correct the UUID in EFI/…/grub.cfg on the EFI partition; compare with blkid.',
    },
    'boot.nvram_missing': {
      severity: 'warning',
      title: 'Only the memory of the firmware knows how to start this system',
      byHand: 'grub-install --removable as well, or efibootmgr --create on the machine itself.',
    },
  };

/** What is wrong with the EFI partitions that start a system on disks. Not a byte of them changes. */
export async function judgeEfiPartitions(
  context: ActionContext,
  target: Target,
): Promise<NewFinding[]> {
  const { volumes } = target.layout!;
  if (!volumes.some(isEsp)) return [];
  const bootsByBios = biosBootPartition(volumes, bootDisk(target.layout!).given) !== undefined;
  const esps = await inspectEsps(context, target, { anew: false });
  return esps
    .filter(({ hasVendor }) => hasVendor || !bootsByBios)
    .flatMap(({ volume, faults, writes }) =>
      faults.map(({ rule, text }) => ({
        rule,
        ...RULES[rule],
        subject: volume.name,
        evidence: [commandEvidence('mdir -s -b ::/EFI', text)],
        // Without files of its own the system has nothing to put there.
        suggestion:
          writes.length === 0 ? null : { action: 'bootloader.repair' as const, parameters: {} },
      })),
    );
}
