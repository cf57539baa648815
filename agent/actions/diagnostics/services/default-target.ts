import { fileEvidence } from '../finding.ts';
import { nothingFound, type Probe } from '../probe.ts';

const LINK = '/etc/systemd/system/default.target';

/** Where a boot ends: a server that ends in rescue mode starts none of its services. */
export const defaultTarget: Probe = {
  id: 'boot.default-target',
  area: 'boot',
  offline: true,
  limitMs: 1_000,
  async look({ files }) {
    const target = await files.readLink(LINK);
    const name = target?.split('/').at(-1) ?? '';
    if (!/^(?:rescue|emergency|poweroff|halt|reboot)\.target$|^runlevel[016]\.target$/.test(name)) {
      return nothingFound;
    }
    return {
      findings: [
        {
          rule: 'boot.default_target',
          severity: 'critical',
          subject: name,
          title: `The next boot ends in ${name}: no service is started`,
          evidence: [fileEvidence(LINK, null, `${LINK} -> ${target}`)],
          suggestion: {
            action: 'service.configure',
            parameters: { unit: 'multi-user.target', isDefault: true },
          },
          byHand: 'systemctl set-default multi-user.target',
        },
      ],
    };
  },
};
