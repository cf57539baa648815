import type { Observation } from '../../../jobs/observation.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, ProbeFailure, type Probe, type ProbeResult } from '../probe.ts';

interface SmartReport {
  smart_status?: { passed?: boolean };
  ata_smart_attributes?: { table?: { id: number; name: string; raw: { value: number } }[] };
  nvme_smart_health_information_log?: Record<string, unknown>;
  smartctl?: { exit_status?: number; messages?: { string: string }[] };
}

/** Attributes whose raw value counts sectors that could not be read (repair-worthy as soon as one is there). */
const SECTOR_ATTRIBUTES = [187, 197, 198];
/** Bits of smartctl's exit status (smartctl(8)). */
const FAILING = 8 | 16;
const NOT_OPENED = 1 | 2;

/** What is left to do where a disk fails. */
export const ESCALATE =
  'Write nothing to this disk, save its data, and hand the case over to the data centre.';

export const diskHealth: Probe = {
  id: 'hardware.disks',
  area: 'hardware',
  limitMs: 4_200,
  async look(context): Promise<ProbeResult> {
    const names = await context.observed('smart-');
    if (names.length === 0) {
      throw new NotApplicable('no disk here can answer for its health, as on virtual machines');
    }
    const findings: NewFinding[] = [];
    for (const name of names) {
      findings.push(...judgeSmart(name.slice('smart-'.length), await context.observe(name)));
    }
    return { findings };
  },
};

/** What smartctl's JSON says of one disk. Throws ProbeFailure when it is no JSON. */
export function judgeSmart(disk: string, seen: Pick<Observation, 'out' | 'command'>): NewFinding[] {
  let report: SmartReport;
  try {
    report = JSON.parse(seen.out) as SmartReport;
  } catch {
    throw new ProbeFailure(`smartctl gave no readable answer for ${disk}`);
  }
  const status = report.smartctl?.exit_status ?? 0;
  const said = (report.smartctl?.messages ?? []).map((message) => message.string).join(' ');
  const base = { subject: disk, suggestion: null, byHand: ESCALATE };
  const evidence = (text: string) => [commandEvidence(seen.command, text)];
  if (report.smart_status?.passed === false || (status & FAILING) !== 0) {
    return [
      {
        ...base,
        rule: 'hw.smart_failing',
        severity: 'critical',
        title: `The disk ${disk} reports that it is failing`,
        evidence: evidence(`smart_status.passed: ${report.smart_status?.passed}; exit ${status}`),
      },
    ];
  }
  const bad = badCounts(report);
  if (bad.length > 0) {
    return [
      {
        ...base,
        rule: 'hw.sector_trouble',
        severity: 'critical',
        title: `The disk ${disk} has lost sectors`,
        evidence: evidence(bad.join('; ')),
      },
    ];
  }
  const remapped = attribute(report, 5);
  if (remapped > 0) {
    return [
      {
        ...base,
        rule: 'hw.sector_trouble',
        severity: 'warning',
        title: `The disk ${disk} has replaced ${remapped} bad sectors so far`,
        evidence: evidence(`Reallocated_Sector_Ct: ${remapped}`),
        byHand: 'Look again in a day; if the number grows, have the disk replaced.',
      },
    ];
  }
  if (report.smart_status?.passed === true) return [];
  return [
    {
      ...base,
      rule: 'hw.smart_unknown',
      severity: 'notice',
      title: `The health of the disk ${disk} is not known`,
      evidence: evidence(
        said || ((status & NOT_OPENED) !== 0 ? `exit ${status}` : 'no SMART data'),
      ),
      byHand: `Behind a RAID controller, ask it itself: smartctl -d TYPE -a /dev/${disk}.`,
    },
  ];
}

function badCounts(report: SmartReport): string[] {
  const sectors = SECTOR_ATTRIBUTES.map((id) => [id, attribute(report, id)] as const)
    .filter(([, count]) => count > 0)
    .map(([id, count]) => `attribute ${id}: ${count}`);
  const log = report.nvme_smart_health_information_log ?? {};
  const number = (key: string) => (typeof log[key] === 'number' ? log[key] : 0);
  const nvme = ['critical_warning', 'media_errors']
    .filter((key) => number(key) > 0)
    .map((key) => `${key}: ${number(key)}`);
  const threshold = number('available_spare_threshold');
  if (threshold > 0 && number('available_spare') < threshold) {
    nvme.push(`available_spare: ${number('available_spare')} below ${threshold}`);
  }
  return [...sectors, ...nvme];
}

function attribute(report: SmartReport, id: number): number {
  const found = report.ata_smart_attributes?.table?.find((entry) => entry.id === id);
  // Some makers keep other counts in the upper half.
  return (found?.raw?.value ?? 0) % 2 ** 32;
}
