import { rightAttributes, SECRET_FILES } from '../../access/accounts/repair-database.ts';
import { damagedPaths } from '../../access/ssh/damaged-paths.ts';
import { fileEvidence, type NewFinding } from '../finding.ts';
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
    const shut = changes.map(({ path }, at): NewFinding => ({
      rule: 'sys.modes',
      severity: 'critical',
      subject: path,
      title: `${path} has a mode or an owner with which people or programs cannot do their work`,
      evidence: [fileEvidence(path, null, findings[at]!)],
      suggestion: { action: 'access.restore-ssh', parameters: {} },
      byHand:
        'chmod and chown as on a sound system of the same kind; look for what else was changed.',
    }));
    return { findings: [...shut, ...(await openSecrets(files))] };
  },
};

async function openSecrets(files: ProbeContext['files']): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const path of SECRET_FILES) {
    const found = await files.lstat(path);
    if (found?.isFile() !== true) continue;
    const { uid } = found;
    const mode = found.mode & 0o7777;
    if (Object.keys(rightAttributes({ isPublic: false }, { mode, uid })).length === 0) continue;
    findings.push({
      rule: 'sys.modes',
      severity: 'critical',
      subject: path,
      title: `Others than root can read or write ${path}, which holds the hashes of passwords`,
      evidence: [fileEvidence(path, null, `mode 0${mode.toString(8)}, owner ${uid}`)],
      suggestion: { action: 'access.repair-accounts', parameters: {} },
      byHand: `chown root ${path} && chmod u=rw,g-wx,o= ${path}; passwords that were open should be new.`,
    });
  }
  return findings;
}

/** Of the running system, whose folders are hidden from whoever looks. */
async function foldersSeen(observe: ProbeContext['observe']): Promise<Map<string, SeenMode>> {
  try {
    return parseModes((await observe('folders')).out);
  } catch (error) {
    if (error instanceof NotApplicable) return new Map();
    throw error;
  }
}
