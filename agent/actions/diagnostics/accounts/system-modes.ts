import { damagedPaths } from '../../access/ssh/damaged-paths.ts';
import { fileEvidence } from '../finding.ts';
import { NotApplicable, type Probe, type ProbeContext } from '../probe.ts';
import { parseModes, type SeenMode } from '../seen-modes.ts';

/** The few paths whose mode or owner shuts everybody out, or lets everybody in. */
export const systemModes: Probe = {
  id: 'accounts.modes',
  area: 'accounts',
  offline: true,
  limitMs: 1_000,
  async look({ files, observe }) {
    const { changes, findings } = await damagedPaths({ files }, await foldersSeen(observe));
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

/** Of the running system, whose folders are hidden from whoever looks. */
async function foldersSeen(observe: ProbeContext['observe']): Promise<Map<string, SeenMode>> {
  try {
    return parseModes((await observe('folders')).out);
  } catch (error) {
    if (error instanceof NotApplicable) return new Map();
    throw error;
  }
}
