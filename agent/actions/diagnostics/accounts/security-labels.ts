import { LABELLED_FILES } from '../../access/accounts/repair-labels.ts';
import { RELABEL_ALL } from '../../files/security-label.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, ProbeFailure, type Probe } from '../probe.ts';

const SETTINGS = '/etc/selinux/config';

/** Whether SELinux would keep the system from files that were written without it. */
export const securityLabels: Probe = {
  id: 'accounts.security-labels',
  area: 'accounts',
  offline: true,
  limitMs: 2_000,
  async look({ files, run }) {
    const mode = /^[ \t]*SELINUX[ \t]*=[ \t]*(\w+)/m.exec((await files.read(SETTINGS)) ?? '')?.[1];
    if (mode !== 'enforcing' && mode !== 'permissive') {
      throw new NotApplicable('SELinux is not used here');
    }
    if ((await files.stat(RELABEL_ALL)) !== null) {
      throw new NotApplicable('the next boot labels every file anew');
    }
    const there: { file: string; place: string }[] = [];
    for (const file of LABELLED_FILES) {
      const place = await files.locate(file);
      if (place !== null) there.push({ file, place });
    }
    const places = there.map(({ place }) => place);
    const argv = ['getfattr', '--absolute-names', '--name', 'security.selinux', '--', ...places];
    const { out, err } = await run(argv);
    const unlabelled = there.filter(({ file, place }) => !isLabelled(out, [place, file]));
    if (unlabelled.length > 0 && !/No such attribute/.test(err) && !/unlabeled_t/.test(out)) {
      throw new ProbeFailure(`getfattr: ${err.trim().slice(0, 200)}`);
    }
    const names = unlabelled.map(({ file }) => file);
    return { findings: names.length === 0 ? [] : [relabelNeeded(names, mode)] };
  },
};

/** As getfattr(1) prints it: a line `# file: NAME`, then `security.selinux="user:role:type:level"`. */
function isLabelled(printed: string, names: readonly string[]): boolean {
  const block = printed
    .split('\n\n')
    .find((text) => names.some((name) => text.trimStart().startsWith(`# file: ${name}\n`)));
  const type = /^security\.selinux="[^:"]+:[^:"]+:([^:"]+)/m.exec(block ?? '')?.[1];
  return type !== undefined && type !== 'unlabeled_t';
}

function relabelNeeded(names: readonly string[], mode: string): NewFinding {
  return {
    rule: 'sel.relabel_needed',
    severity: mode === 'enforcing' ? 'critical' : 'warning',
    subject: names[0]!,
    title: `SELinux is ${mode}, and ${names.join(', ')} ${names.length === 1 ? 'has' : 'have'} no label`,
    evidence: [commandEvidence('getfattr --name security.selinux', names.join('\n'))],
    suggestion: { action: 'access.repair-accounts', parameters: {} },
    byHand: 'touch /.autorelabel: the next boot labels every file anew, which takes minutes.',
  };
}
