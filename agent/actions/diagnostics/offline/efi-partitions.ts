import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { biosBootPartition, bootDisks, isEsp } from '../../bootloader/boot-sectors.ts';
import { inspectEsps, isWithoutFiles, type EspFault } from '../../bootloader/esp/inspect-esps.ts';
import { lookAtFirmware } from '../../bootloader/firmware/boot-entries.ts';
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
      title: 'The firmware has no entry that starts this system, or only an entry could',
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
  const bootsByBios = bootDisks(target.layout!).some(
    ({ given }) => biosBootPartition(volumes, given) !== undefined,
  );
  const firmware = await lookAtFirmware(target.layout!);
  const esps = await inspectEsps(context, target, { anew: false, firmware });
  return esps
    .filter(({ hasVendor }) => hasVendor || !bootsByBios)
    .flatMap((esp) =>
      esp.faults.map(({ rule, text }) => ({
        rule,
        ...RULES[rule],
        subject: esp.volume.name,
        evidence: [commandEvidence('mdir -s -b ::/EFI', text)],
        // Without files of its own the system has nothing to put there.
        suggestion: isWithoutFiles(esp)
          ? null
          : { action: 'bootloader.repair' as const, parameters: {} },
      })),
    );
}
