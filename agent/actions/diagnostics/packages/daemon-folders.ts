import { lostDaemonFolders } from '../../packages/daemon-folders.ts';
import { fileEvidence } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';

/** Folders without which a service ends before it has begun. */
export const daemonFolders: Probe = {
  id: 'packages.folders',
  area: 'services',
  offline: true,
  limitMs: 4_000,
  async look({ files }) {
    if ((await files.stat('/var/lib/dpkg/info')) === null) {
      throw new NotApplicable('packages are not kept by dpkg');
    }
    const lost = await lostDaemonFolders(files);
    return {
      findings: lost.map(({ path, package: name }) => ({
        rule: 'svc.missing_folder',
        severity: 'warning' as const,
        subject: path,
        title: `${path} is gone: the service of ${name} writes there`,
        evidence: [fileEvidence(path, null, `missing; ${name} brought it`)],
        suggestion: { action: 'packages.repair' as const, parameters: {} },
        byHand: `mkdir ${path}, for the user that the service runs as.`,
      })),
    };
  },
};
