import { SUDO } from '../../access/accounts/repair-sudo.ts';
import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, nothingFound, type Probe } from '../probe.ts';

const FILE = '/etc/sudoers';

export const sudoers: Probe = {
  id: 'accounts.sudoers',
  area: 'accounts',
  offline: true,
  limitMs: 3_000,
  async look({ files, run }) {
    const found = await files.stat(FILE);
    const path = await files.locate(FILE);
    const isInstalled = (await files.stat(SUDO)) !== null;
    if (!isInstalled || found === null || path === null)
      throw new NotApplicable('sudo is not installed');
    const findings: NewFinding[] = [];
    if ((found.mode & 0o022) !== 0 || found.uid !== 0) {
      findings.push({
        rule: 'auth.sudoers',
        severity: 'warning',
        subject: FILE,
        title: `sudo refuses to work: others than root may write ${FILE}`,
        evidence: [fileEvidence(FILE, null, `mode ${octal(found.mode)}, owner ${found.uid}`)],
        suggestion: { action: 'access.repair-accounts', parameters: {} },
        byHand: `chown root:root ${FILE} && chmod 0440 ${FILE}`,
      });
    }
    const argv = ['visudo', '-c', '-f', path];
    const checked = await run(argv);
    if (checked.exitStatus === 0) return findings.length > 0 ? { findings } : nothingFound;
    const said = `${checked.err}\n${checked.out}`.trim();
    const [, file, line] = /(?<![^:\s])(\/[^:\s]+):(\d+):/.exec(said) ?? [];
    findings.push({
      rule: 'auth.sudoers',
      severity: 'warning',
      subject: file ?? FILE,
      title: 'sudo refuses to work: its configuration has an error',
      evidence: [
        ...(file === undefined ? [] : [fileEvidence(file, Number(line), said)]),
        commandEvidence(argv.join(' '), said),
      ].slice(0, 1),
      suggestion: { action: 'access.repair-accounts', parameters: {} },
      byHand: 'As root: visudo -c shows the place, visudo -f FILE corrects it.',
    });
    return { findings };
  },
};

function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8)}`;
}
