import type { TargetFiles } from '../../../target/target-files.ts';
import { fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';

const FOLDER = '/sys/devices/system/edac/mc';

/** What the memory controllers have counted since the boot (edac). */
export const memoryErrors: Probe = {
  id: 'hardware.memory',
  area: 'hardware',
  limitMs: 1_000,
  look: async ({ files }) => ({ findings: await judgeMemory(files) }),
};

/** Throws NotApplicable where nothing counts. */
export async function judgeMemory(files: TargetFiles): Promise<NewFinding[]> {
  const names = await files.list(FOLDER);
  const controllers = names.filter((name) => /^mc\d+$/.test(name));
  if (controllers.length === 0) throw new NotApplicable('no memory controller counts errors');
  const findings: NewFinding[] = [];
  for (const name of controllers) {
    for (const kind of ['ue', 'ce'] as const) {
      const file = `${FOLDER}/${name}/${kind}_count`;
      const count = Number((await files.read(file))?.trim() ?? 0);
      if (!(count > 0)) continue;
      const isLost = kind === 'ue';
      findings.push({
        rule: 'hw.mce_edac',
        severity: isLost ? 'critical' : 'warning',
        subject: `${name} ${kind}`,
        title: isLost
          ? `The memory has lost data ${count} times since the boot`
          : `The memory has corrected ${count} errors since the boot`,
        evidence: [fileEvidence(file, 1, String(count))],
        suggestion: null,
        byHand: 'Hand the case over to the data centre: a memory module has to be replaced.',
      });
    }
  }
  return findings;
}
