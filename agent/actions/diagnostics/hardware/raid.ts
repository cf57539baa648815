import { fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';

const MDSTAT = '/proc/mdstat';

export const raid: Probe = {
  id: 'hardware.raid',
  area: 'hardware',
  limitMs: 1_000,
  async look({ files }) {
    const text = await files.read(MDSTAT);
    if (text === null || !/^md/m.test(text)) throw new NotApplicable('there is no software RAID');
    return { findings: judgeMdstat(text) };
  },
};

/** Arrays in /proc/mdstat that run without all of their disks, or do not run. */
export function judgeMdstat(text: string): NewFinding[] {
  const lines = text.split('\n');
  return lines.flatMap((line, at): NewFinding[] => {
    const [, name, rest = ''] = /^(md\S*) : (.*)/.exec(line) ?? [];
    if (name === undefined) return [];
    const base = { subject: name, suggestion: null };
    if (rest.startsWith('inactive')) {
      return [
        {
          ...base,
          rule: 'raid.inactive',
          severity: 'critical',
          title: `The RAID ${name} does not run`,
          evidence: [fileEvidence(MDSTAT, at + 1, line)],
          byHand: `Look at its disks with mdadm --examine before anything is assembled.`,
        },
      ];
    }
    const status = lines[at + 1] ?? '';
    const [, members] = /\[([U_]+)\]/.exec(status) ?? [];
    if (!members?.includes('_') && !rest.includes('(F)')) return [];
    return [
      {
        ...base,
        rule: 'raid.degraded',
        severity: 'critical',
        title: `The RAID ${name} runs without all of its disks`,
        evidence: [fileEvidence(MDSTAT, at + 1, `${line}\n${status}`)],
        byHand: 'Hand the case over to the data centre: a disk has to be replaced.',
      },
    ];
  });
}

/** Names of the devices that an array of /proc/mdstat has, failed ones too: `sda1`. */
export function membersOf(text: string, array: string): string[] {
  const line = text.split('\n').find((one) => one.startsWith(`${array} : `)) ?? '';
  return [...line.matchAll(/(\S+)\[\d+\]/g)].map((match) => match[1]!);
}
