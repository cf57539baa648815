import type { OpenDisks } from '../../../target/offline/open-disks.ts';
import type { StorageProblem } from '../../../target/offline/stack/storage-problem.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';
import type { DiagnosticArea, Severity } from '../../../../proto/actions/diagnostics.ts';

interface StorageRule {
  rule: string;
  area: DiagnosticArea;
  severity: Severity;
  title: (subject: string) => string;
  byHand: string;
}

function notOpened(byHand: string): StorageRule {
  return {
    rule: 'disk.not_opened',
    area: 'filesystems',
    severity: 'warning',
    title: (subject) => `${subject} could not be opened: what it holds was not looked at`,
    byHand,
  };
}

const NOT_OPENED = notOpened('Open it by hand on this machine, or from a rescue system that can.');
const OTHER_KERNEL =
  'or start the server from a rescue system whose kernel has it; then look again.';

/** No action repairs these: a disk has to be replaced, a key be given, another kernel be started. */
const RULES: Partial<Record<StorageProblem['reason'], StorageRule>> = {
  array_degraded: {
    rule: 'raid.degraded',
    area: 'hardware',
    severity: 'critical',
    title: (subject) => `${subject} lacks a disk: nothing is written to it`,
    byHand:
      'Hand the case over to the data centre: have the disk replaced, then mdadm --manage --add, and wait for mdadm --wait.',
  },
  array_incomplete: {
    rule: 'raid.inactive',
    area: 'hardware',
    severity: 'critical',
    title: (subject) => `${subject} does not start with the disks that are there`,
    byHand:
      'Look for the missing disks and their cables first; keep images of the others before anything is forced (mdadm --assemble --force).',
  },
  array_reshaping: {
    rule: 'raid.reshaping',
    area: 'hardware',
    severity: 'critical',
    title: (subject) => `${subject} is being rearranged: it is neither read nor written`,
    byHand:
      'Let it go on: mdadm --assemble, with --backup-file if it was grown with one, then mdadm --wait.',
  },
  volume_group_incomplete: {
    rule: 'lvm.partial',
    area: 'hardware',
    severity: 'critical',
    title: (subject) => `${subject} lacks a disk: nothing is written to it`,
    byHand:
      'Look for the missing disk (lvm pvs -o +pv_missing); never vgreduce --removemissing before its data is given up.',
  },
  device_mapper_unavailable: notOpened(`Load the module: modprobe dm_mod, ${OTHER_KERNEL}`),
  raid_unavailable: notOpened(`Load the module: modprobe md_mod, ${OTHER_KERNEL}`),
  tool_missing: notOpened(
    'Install the program that is named on this machine, or start the server from a rescue system that has it; then look again.',
  ),
  volume_unsupported: notOpened(
    'Start its system, or open it by hand with the programs of LVM on this machine: what is named opens it.',
  ),
  disk_key_missing: {
    rule: 'luks.no_key',
    area: 'filesystems',
    severity: 'critical',
    title: (subject) => `${subject} is encrypted and stays closed`,
    byHand:
      'Ask the client for the key: intervene credentials give SERVER --name disk-key; then look again with --given disk-key.',
  },
};

/** What on the disks could not be opened, and what that means for the server. */
export function judgeStorage({
  problems,
}: Pick<OpenDisks, 'problems'>): (NewFinding & { area: DiagnosticArea })[] {
  return problems.map(({ reason, subject, why, command }) => {
    const { rule, area, severity, title, byHand } = RULES[reason] ?? NOT_OPENED;
    return {
      rule,
      area,
      severity,
      subject,
      title: title(subject),
      evidence: [commandEvidence(command, why)],
      suggestion: null,
      byHand,
    };
  });
}
