import { commandEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';
import { ESCALATE } from './disk-health.ts';

interface KernelRule {
  rule: string;
  severity: NewFinding['severity'];
  pattern: RegExp;
  title: (subject: string) => string;
  byHand: string;
  /** Several lines of one subject are one finding. */
  subject: (match: RegExpMatchArray) => string;
}

const RULES: readonly KernelRule[] = [
  {
    rule: 'hw.io_errors',
    severity: 'critical',
    pattern: /(?:I\/O error, dev ([\w-]+)|Buffer I\/O error on dev(?:ice)? ([\w-]+))/,
    subject: (match) => match[1] ?? match[2] ?? '',
    title: (disk) => `The kernel could not read or write ${disk}`,
    byHand: ESCALATE,
  },
  {
    rule: 'hw.io_errors',
    severity: 'critical',
    pattern: /(ata\d+(?:\.\d+)?): (?:error: \{ UNC|failed command|exception Emask)/,
    subject: (match) => match[1] ?? '',
    title: (port) => `The disk at ${port} does not answer as it should`,
    byHand: ESCALATE,
  },
  {
    rule: 'hw.mce_edac',
    severity: 'warning',
    pattern: /mce: .*(?:Hardware Error|Machine check)|EDAC .*(?:\bCE\b|\bUE\b)/,
    subject: () => 'machine check',
    title: () => 'The processor or the memory has reported errors',
    byHand: 'Hand the case over to the data centre: memory or processor may have to be replaced.',
  },
  {
    rule: 'fs.ro_remount',
    severity: 'critical',
    pattern:
      /(?:EXT[234]-fs|XFS|BTRFS)[^(]*\(?(?:device )?([\w-]+)\)?.*(?:[Rr]emounting filesystem read-only|forced readonly|Shutting down filesystem)/,
    subject: (match) => match[1] ?? '',
    title: (device) => `The kernel stopped writing to the file system on ${device}`,
    byHand: 'Look at the health of the disk first; then check the file system, unmounted.',
  },
  {
    rule: 'log.oom',
    severity: 'warning',
    pattern:
      /Out of memory: Killed process \d+ \(([^)]*)\)|Memory cgroup out of memory: Killed process \d+ \(([^)]*)\)/,
    subject: (match) => match[1] ?? match[2] ?? '',
    title: (program) => `The memory ran out and the kernel killed ${program}`,
    byHand: 'Give the server more memory, or its programs less to do.',
  },
  {
    rule: 'log.kernel_trouble',
    severity: 'warning',
    pattern:
      /(soft lockup|hard LOCKUP|blocked for more than \d+ seconds|BUG: |Oops: |Kernel panic)/,
    subject: (match) => (match[1] ?? '').replace(/\d+/, 'N').trim(),
    title: (what) => `The kernel was in trouble: ${what}`,
    byHand: 'Read what the kernel says around it: journalctl --dmesg --boot.',
  },
];

export const kernelLog: Probe = {
  id: 'hardware.kernel-log',
  area: 'hardware',
  limitMs: 4_200,
  async look(context) {
    const seen = await context.observe('kernel-log');
    return { findings: judgeKernelLog(seen.out, seen.command) };
  },
};

const LINES_SHOWN = 3;
/** Drives without a medium complain, and nothing is wrong. */
const REMOVABLE = /^(?:fd|sr)\d+$/;
/** Not hardware: what lies behind them is somewhere else. */
const VIRTUAL = /^(?:loop|nbd|zram|ram)\d+$/;

/** Known faults in what the kernel has said since the boot, as `dmesg --raw` prints it. */
export function judgeKernelLog(log: string, command: string): NewFinding[] {
  const found = new Map<string, { rule: KernelRule; subject: string; lines: string[] }>();
  for (const raw of log.split('\n')) {
    // What programs write to /dev/kmsg carries their facility; only facility 0 is the kernel's own word.
    const [, level, line] = /^<(\d+)>(.*)/.exec(raw) ?? [];
    if (line === undefined || Number(level) > 7) continue;
    for (const rule of RULES) {
      const match = rule.pattern.exec(line);
      if (match === null) continue;
      const subject = rule.subject(match);
      if (REMOVABLE.test(subject)) break;
      const key = `${rule.rule}\0${subject}`;
      const entry = found.get(key) ?? { rule, subject, lines: [] };
      entry.lines.push(line);
      found.set(key, entry);
      break;
    }
  }
  return [...found.values()].map(({ rule, subject, lines }) => ({
    rule: rule.rule,
    severity: VIRTUAL.test(subject) ? 'warning' : rule.severity,
    subject,
    title: `${rule.title(subject)}${lines.length > 1 ? ` (${lines.length} times)` : ''}`,
    evidence: [commandEvidence(command, lines.slice(-LINES_SHOWN).join('\n'))],
    suggestion: null,
    byHand: rule.byHand,
  }));
}
