import type { TargetFiles } from '../../../target/target-files.ts';
import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';

const OWN_UNITS = '/etc/systemd/system';

/** Units that failed and stayed so, as systemd says. */
export const failedUnits: Probe = {
  id: 'services.failed',
  area: 'services',
  limitMs: 4_200,
  async look(context) {
    const seen = await context.observe('units');
    return { findings: judgeFailedUnits(seen.out) };
  },
};

/** Blocks of `NAME=value` lines, one per unit, as `systemctl show` prints them. */
export function judgeFailedUnits(shown: string): NewFinding[] {
  return shown
    .split(/\n\n+/)
    .map((block) => new Map(block.split('\n').map(splitAtEquals)))
    .filter((unit) => (unit.get('Id') ?? '') !== '')
    .map((unit) => {
      const id = unit.get('Id')!;
      const result = unit.get('Result') ?? '';
      const status = unit.get('ExecMainStatus') ?? '';
      const how = result === 'exit-code' ? `${result}, status ${status}` : result;
      const text = [...unit]
        .filter(([name]) => name !== 'Description')
        .map(([name, value]) => `${name}=${value}`)
        .join('\n');
      return {
        rule: 'svc.failed_unit',
        severity: 'warning',
        subject: id,
        title: `${id} has failed${how === '' ? '' : ` (${how})`}`,
        evidence: [commandEvidence(`systemctl show ${id}`, text)],
        suggestion: id.endsWith('.service')
          ? { action: 'service.restart', parameters: { unit: id } }
          : null,
        byHand: `Read why: journalctl --boot --unit ${id}; then: systemctl restart ${id}.`,
      };
    });
}

/** Units that somebody masked on this server; those that come masked with a package are left out. */
export const maskedUnits: Probe = {
  id: 'services.masked',
  area: 'services',
  offline: true,
  limitMs: 1_000,
  async look({ files }) {
    const findings: NewFinding[] = [];
    for (const name of await files.list(OWN_UNITS)) {
      if (!/\.(?:service|socket|timer|mount|target)$/.test(name)) continue;
      const file = `${OWN_UNITS}/${name}`;
      const isMasked =
        (await files.readLink(file)) === '/dev/null' || (await files.lstat(file))?.size === 0;
      if (!isMasked) continue;
      // Somebody wanted it to start, and somebody that it never does: one of them was mistaken.
      const isWanted = await isEnabled(files, name);
      findings.push({
        rule: 'svc.masked_unit',
        severity: isWanted ? 'warning' : 'notice',
        subject: name,
        title: isWanted
          ? `${name} is to start with the system, and is masked: nothing can start it`
          : `${name} is masked: nothing can start it`,
        evidence: [fileEvidence(file, null, `${file} -> /dev/null`)],
        suggestion:
          isWanted && /\.(?:service|socket|timer)$/.test(name)
            ? { action: 'service.configure', parameters: { unit: name, masked: false } }
            : null,
        byHand: `If it should run: systemctl unmask ${name}.`,
      });
    }
    return { findings };
  },
};

async function isEnabled(files: TargetFiles, unit: string): Promise<boolean> {
  for (const folder of await files.list(OWN_UNITS)) {
    if (!/\.(?:wants|requires)$/.test(folder)) continue;
    if ((await files.lstat(`${OWN_UNITS}/${folder}/${unit}`)) !== null) return true;
  }
  return false;
}

function splitAtEquals(line: string): [string, string] {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
}
