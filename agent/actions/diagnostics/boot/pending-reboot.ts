import { fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';

const FLAG = '/run/reboot-required';

/** Whether what runs is older than what is installed. */
export const pendingReboot: Probe = {
  id: 'boot.pending-reboot',
  area: 'boot',
  limitMs: 1_000,
  async look({ files }) {
    const findings: NewFinding[] = [];
    const flag = await files.read(FLAG);
    if (flag !== null) {
      const packages = (await files.read(`${FLAG}.pkgs`)) ?? '';
      findings.push(finding(FLAG, `${flag.trim()}\n${packages.trim()}`, 'packages'));
    }
    const release = (await files.read('/proc/sys/kernel/osrelease'))?.trim() ?? '';
    const installed = await files.list('/lib/modules');
    if (release !== '' && installed.length > 0 && !installed.includes(release)) {
      const text = `running ${release}; installed: ${installed.join(', ')}`;
      findings.push(finding('/lib/modules', text, 'kernel'));
    }
    return { findings };
  },
};

function finding(file: string, text: string, what: 'packages' | 'kernel'): NewFinding {
  return {
    rule: 'sys.reboot_pending',
    severity: 'notice',
    subject: what,
    title:
      what === 'packages'
        ? 'Packages were installed that work only after a reboot'
        : 'The kernel that runs is no longer installed: it cannot load modules',
    evidence: [fileEvidence(file, null, text)],
    suggestion: { action: 'system.reboot', parameters: {} },
    byHand: 'Reboot when it suits the client.',
  };
}
