import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe, type ProbeContext } from '../probe.ts';

const FOLDER = '/var/lib/dpkg';
const SUGGESTION = { action: 'packages.repair', parameters: {} } as const;

export const dpkgState: Probe = {
  id: 'packages.dpkg',
  area: 'packages',
  offline: true,
  limitMs: 3_500,
  async look(context) {
    const { files, run } = context;
    const status = await files.stat(`${FOLDER}/status`);
    const path = await files.locate(FOLDER);
    if (path === null) throw new NotApplicable('packages are not kept by dpkg');
    if (status === null || status.size === 0) return { findings: await lostDatabase(context) };
    const findings: NewFinding[] = [];
    const argv = ['dpkg', `--admindir=${path}`, '--audit'];
    const audit = await run(argv);
    // It ends with 0 whatever it has to say.
    const said = audit.out
      .split(/\n\n+/)
      // Without them only a later check of the files is less sharp; packages made by hand have none.
      .filter((section) => !section.includes('md5sums control file'))
      .join('\n\n')
      .trim();
    if (said !== '') findings.push(...judgeAudit(said, argv.join(' ')));
    const left = (await files.list(`${FOLDER}/updates`)).filter((name) => /^\d+$/.test(name));
    if (left.length > 0) {
      findings.push({
        rule: 'pkg.half_configured',
        severity: 'warning',
        subject: 'dpkg',
        title: 'An installation was cut off: dpkg has to finish it before anything else',
        evidence: [fileEvidence(`${FOLDER}/updates`, null, left.join(' '))],
        suggestion: SUGGESTION,
        byHand: 'dpkg --configure -a',
      });
    }
    return { findings };
  },
};

/** Names of packages stand in the second column of indented lines (dpkg --audit). */
export function judgeAudit(said: string, command: string): NewFinding[] {
  const names = [...said.matchAll(/^ (\S+)/gm)].map(([, name]) => name!);
  const subjects = names.length > 0 ? [...new Set(names)] : ['dpkg'];
  return [
    {
      rule: 'pkg.half_configured',
      severity: 'warning',
      subject: subjects.slice(0, 8).join(', '),
      title:
        subjects.length === 1
          ? `The package ${subjects[0]} is not properly installed`
          : `${subjects.length} packages are not properly installed`,
      evidence: [commandEvidence(command, said)],
      suggestion: SUGGESTION,
      byHand:
        'dpkg --configure -a; if that fails: apt-get install --fix-broken, after looking with -s.',
    },
  ];
}

async function lostDatabase({ files }: ProbeContext): Promise<NewFinding[]> {
  const lists = (await files.list(`${FOLDER}/info`)).filter((name) => name.endsWith('.list'));
  if (lists.length === 0) throw new NotApplicable('no package is installed by dpkg');
  return [
    {
      rule: 'pkg.db_empty',
      severity: 'critical',
      subject: `${FOLDER}/status`,
      title: 'dpkg has forgotten which packages are installed',
      evidence: [
        fileEvidence(`${FOLDER}/status`, null, `empty; ${lists.length} packages left their lists`),
      ],
      suggestion: SUGGESTION,
      byHand: `Put a copy back: ${FOLDER}/status-old, or the newest /var/backups/dpkg.status.*.`,
    },
  ];
}

const SOURCES = '/etc/apt/sources.list';

export const aptSources: Probe = {
  id: 'packages.sources',
  area: 'packages',
  offline: true,
  limitMs: 1_000,
  async look({ files }) {
    const names = (await files.list(`${SOURCES}.d`)).filter((name) => name.endsWith('.list'));
    const findings: NewFinding[] = [];
    for (const file of [SOURCES, ...names.map((name) => `${SOURCES}.d/${name}`)]) {
      for (const [at, line] of ((await files.read(file)) ?? '').split('\n').entries()) {
        const why = whyBadSource(line);
        if (why === null) continue;
        findings.push({
          rule: 'pkg.sources',
          severity: 'warning',
          subject: `${file}:${at + 1}`,
          title: `apt stops at line ${at + 1} of ${file}: ${why}`,
          evidence: [fileEvidence(file, at + 1, line)],
          suggestion: null,
          byHand: `Correct the line, or put # before it; then: apt-get update.`,
        });
      }
    }
    return { findings };
  },
};

/** One-line style of sources.list(5). */
export function whyBadSource(line: string): string | null {
  const text = line.replace(/#.*/, '').trim();
  if (text === '') return null;
  const match = /^(\S+)(?:\s+\[[^\]]*\])?(?:\s+(\S+))?(?:\s+(\S+))?(?:\s+(.+))?$/.exec(text);
  const [, type, uri, suite, components] = match ?? [];
  if (type !== 'deb' && type !== 'deb-src') return `it begins with ${type ?? text}`;
  if (uri === undefined || !/^[a-z+]+:/.test(uri)) return 'it names no address';
  if (suite === undefined) return 'it names no suite';
  if (!suite.endsWith('/') && components === undefined) return 'it names no component';
  return null;
}
