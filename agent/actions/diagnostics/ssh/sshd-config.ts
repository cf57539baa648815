import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';
import { askSshd, SSHD_CONFIG, type SshdAnswer } from './sshd-settings.ts';

const SUGGESTION = { action: 'access.restore-ssh', parameters: {} } as const;

export const sshdConfig: Probe = {
  id: 'ssh.config',
  area: 'ssh',
  offline: true,
  limitMs: 3_500,
  async look(context) {
    const answer = await askSshd(context);
    const ports = (answer.settings.get('port') ?? []).map(Number);
    return { findings: judgeSshd(answer), ...(ports.length > 0 && { facts: { sshPorts: ports } }) };
  },
};

function judgeSshd({ exitStatus, err, command }: SshdAnswer): NewFinding[] {
  const said = err.trim();
  if (exitStatus !== 0 && /no hostkeys available/.test(said)) {
    return [
      {
        rule: 'ssh.hostkeys',
        severity: 'critical',
        subject: 'host keys',
        title: 'sshd does not start: it has no host key it may use',
        evidence: [commandEvidence(command, said)],
        suggestion: SUGGESTION,
        byHand: 'Make new ones: ssh-keygen -A; then: systemctl restart ssh.',
      },
    ];
  }
  if (exitStatus !== 0) {
    const [, file, line] = /(?<!\S)(\/\S+?):? line (\d+)/.exec(said) ?? [];
    const isPlace = file !== undefined && line !== undefined;
    return [
      {
        rule: 'ssh.config_bad',
        severity: 'critical',
        subject: file ?? SSHD_CONFIG,
        title: 'sshd does not start with its configuration; the next restart ends SSH',
        evidence: [
          isPlace ? fileEvidence(file, Number(line), said) : commandEvidence(command, said),
        ],
        suggestion: SUGGESTION,
        byHand: isPlace
          ? `Correct line ${line} of ${file}; check with sshd -t before any restart.`
          : 'Correct what sshd -t names; check again before any restart.',
      },
    ];
  }
  const [, key] = /Permissions \S+ for '([^']+)' are too open/.exec(said) ?? [];
  if (key === undefined) return [];
  return [
    {
      rule: 'ssh.hostkeys',
      severity: 'warning',
      subject: key,
      title: `sshd does not use the host key ${key}: others may read it`,
      evidence: [commandEvidence(command, said)],
      suggestion: SUGGESTION,
      byHand: `chmod 600 ${key}, and think about making a new one.`,
    },
  ];
}
