import type { Target } from '../../../target/open-target.ts';
import { initramfsFault } from '../../bootloader/initramfs-archive.ts';
import { initramfsOf, kernelVersions } from '../../bootloader/boot-menu.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';

/** What a boot menu needs that is shorter, or not there, is found by its own probe. */
const MIN_BYTES = 1024 * 1024;
const MAX_BYTES = 512 * 1024 * 1024;

/** Each initial file system that its kernel could not unpack. No program of the target is asked. */
export async function judgeInitramfs({ files }: Target): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const version of await kernelVersions(files)) {
    const path = initramfsOf(version);
    const size = (await files.stat(path))?.size ?? 0;
    if (size < MIN_BYTES || size > MAX_BYTES) continue;
    const bytes = await files.readBytes(path, MAX_BYTES);
    const fault = bytes === null ? null : await initramfsFault(bytes);
    if (fault === null) continue;
    findings.push({
      rule: 'boot.initrd_bad',
      severity: 'critical',
      subject: path,
      title: `The initial file system ${path} is broken: ${fault}`,
      evidence: [commandEvidence(`unmkinitramfs ${path} /nowhere`, fault)],
      suggestion: { action: 'bootloader.repair', parameters: {} },
      byHand: 'update-initramfs -u -k all, or dracut --regenerate-all --force',
    });
  }
  return findings;
}
