import { damagedPaths } from '../../access/ssh/damaged-paths.ts';
import { fileEvidence } from '../finding.ts';
import type { Probe } from '../probe.ts';

/** The few paths whose mode or owner shuts everybody out, or lets everybody in. */
export const systemModes: Probe = {
  id: 'accounts.modes',
  area: 'accounts',
  offline: true,
  limitMs: 1_000,
  async look({ files }) {
    const { changes, findings } = await damagedPaths({ files });
    return {
      findings: changes.map(({ path }, at) => ({
        rule: 'sys.modes',
        severity: 'critical' as const,
        subject: path,
        title: `${path} has a mode or an owner with which people or programs cannot do their work`,
        evidence: [fileEvidence(path, null, findings[at]!)],
        suggestion: { action: 'access.restore-ssh' as const, parameters: {} },
        byHand:
          'chmod and chown as on a sound system of the same kind; look for what else was changed.',
      })),
    };
  },
};
