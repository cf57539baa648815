import { findNetworkRepairs } from '../../network/find-repairs.ts';
import type { NetworkFault } from '../../network/network-repair.ts';
import { fileEvidence } from '../finding.ts';
import type { Probe } from '../probe.ts';

const SUGGESTION = { action: 'network.recover', parameters: {} } as const;
const TITLES: Readonly<Record<NetworkFault['rule'], string>> = {
  'net.cloudinit_owner': 'cloud-init would take the configuration of the network back',
  'net.config_bad': 'The configuration of the network has an error',
  'net.dns': 'The server cannot resolve names',
  'net.gateway': 'The server reaches nobody outside its own network',
  'net.if_mismatch': 'The network configuration is for an interface that goes by another name',
  'net.service_off': 'Nothing sets the network up at boot',
  'net.two_managers': 'Two services set the same interface up at boot, each against the other',
};
/** Of these a running system is asked itself. */
const SEEN_LIVE = new Set<NetworkFault['rule']>(['net.dns', 'net.if_mismatch']);

/** Whether what sets the network up at boot is in order, whichever of its managers that is. */
export const networkFiles: Probe = {
  id: 'network.files',
  area: 'network',
  offline: true,
  limitMs: 4_200,
  async look({ files, volumes }) {
    const kind = volumes === undefined ? 'live' : 'offline';
    const { faults } = await findNetworkRepairs({ files, kind, facts: {} });
    return {
      findings: faults
        .filter(({ rule }) => kind === 'offline' || !SEEN_LIVE.has(rule))
        .map(({ rule, severity, file, line, text, why }) => ({
          rule,
          severity,
          subject: file,
          title: TITLES[rule],
          evidence: [fileEvidence(file, line, text)],
          suggestion: SUGGESTION,
          byHand: `${file}: ${why}.`,
        })),
    };
  },
};
