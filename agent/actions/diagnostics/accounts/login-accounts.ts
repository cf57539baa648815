import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe, ProbeContext } from '../probe.ts';
import {
  administrators,
  badLines,
  isLoginShell,
  readPeople,
  type Account,
  type People,
} from './account-files.ts';

const DAY_MS = 86_400_000;
const REPAIR = 'access.repair-accounts';

export const loginAccounts: Probe = {
  id: 'accounts.login',
  area: 'accounts',
  offline: true,
  limitMs: 2_000,
  async look(context) {
    const broken = await brokenFiles(context);
    if (broken.some(({ severity }) => severity === 'critical')) return { findings: broken };
    const people = await readPeople(context);
    return {
      findings: [
        ...broken,
        ...locked(people),
        ...expired(people, Math.floor(context.now / DAY_MS)),
        ...(await shells(context, people)),
        ...(await immutable(context)),
      ],
    };
  },
};

async function brokenFiles({ files }: ProbeContext): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const [file, fields, command] of [
    ['/etc/passwd', 7, 'cp -a /etc/passwd- /etc/passwd'],
    ['/etc/shadow', 9, 'cp -a /etc/shadow- /etc/shadow, or pwconv'],
  ] as const) {
    const text = await files.read(file);
    const suggestion = { action: REPAIR, parameters: {} } as const;
    const base = { rule: 'auth.db_broken', subject: file, suggestion } as const;
    if (text === null || text.trim() === '') {
      findings.push({
        ...base,
        severity: 'critical',
        title: `${file} is ${text === null ? 'missing' : 'empty'}: nobody can log in`,
        evidence: [fileEvidence(file, null, text === null ? 'not there' : '0 bytes')],
        byHand: `Put the system's own copy back: ${command}.`,
      });
      continue;
    }
    const bad = badLines(text, fields);
    const isRoot = (line: number) => (text.split('\n')[line - 1] ?? '').startsWith('root:');
    const hasRoot = /^root:/m.test(text);
    if (bad.length === 0 && hasRoot) continue;
    findings.push({
      ...base,
      severity: !hasRoot || bad.some(isRoot) ? 'critical' : 'warning',
      title: hasRoot
        ? `${file} has lines that cannot be read: ${bad.slice(0, 10).join(', ')}`
        : `${file} has no line for root`,
      // Never the line itself: it may hold the hash of a password.
      evidence: [fileEvidence(file, bad[0] ?? null, `a line must have ${fields} fields`)],
      byHand: `Correct the lines with the help of ${file}-; then: pwck -r.`,
    });
  }
  return findings;
}

/** One way in is enough: on many systems root has no password by design, and somebody else has sudo. */
function locked(people: People): NewFinding[] {
  const able = administrators(people).filter(({ name, shell }) => {
    return people.shadow.get(name)?.hash === 'usable' && isLoginShell(shell);
  });
  const root = people.shadow.get('root');
  if (able.length > 0 || root === undefined) return [];
  return [
    {
      rule: 'auth.locked',
      severity: 'warning',
      subject: 'root',
      title: 'No administrator has a password that works: root is locked, and nobody else may sudo',
      evidence: [fileEvidence('/etc/shadow', root.line, `root: ${root.hash}`)],
      suggestion: { action: 'access.reset-password', parameters: {} },
      byHand: 'Keys may still let people in. To unlock root: passwd root.',
    },
  ];
}

function expired(people: People, today: number): NewFinding[] {
  return administrators(people).flatMap(({ name }): NewFinding[] => {
    const shadow = people.shadow.get(name);
    if (shadow === undefined || shadow.expires === null || shadow.expires > today) return [];
    return [
      {
        rule: 'auth.expired',
        severity: name === 'root' ? 'critical' : 'warning',
        subject: name,
        title: `The account ${name} has expired: it cannot log in, not even with a key`,
        evidence: [
          fileEvidence('/etc/shadow', shadow.line, `${name}: expired on day ${shadow.expires}`),
        ],
        suggestion: { action: REPAIR, parameters: { user: name } },
        byHand: `chage -E -1 ${name}`,
      },
    ];
  });
}

async function shells({ files }: ProbeContext, people: People): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const account of administrators(people)) {
    const why = await whyNoShell(files, account);
    if (why === null) continue;
    const { name, shell, line } = account;
    findings.push({
      rule: 'auth.shell',
      severity: name === 'root' ? 'critical' : 'warning',
      subject: name,
      title: `${name} cannot log in: its shell ${shell} ${why}`,
      evidence: [fileEvidence('/etc/passwd', line, `${name}: ${shell}`)],
      suggestion: { action: REPAIR, parameters: { user: name } },
      byHand: `usermod -s /bin/bash ${name}`,
    });
  }
  return findings;
}

async function whyNoShell(files: ProbeContext['files'], account: Account): Promise<string | null> {
  const { shell, uid } = account;
  if (uid === 0 && !isLoginShell(shell)) return 'lets nobody in';
  const found = await files.stat(shell);
  if (found === null) return 'is not there';
  return found.isFile() && (found.mode & 0o111) !== 0 ? null : 'is no program';
}

/** Files that not even root can change, so that every reset of a password fails. */
async function immutable({ files, run }: ProbeContext): Promise<NewFinding[]> {
  const named = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/gshadow'];
  const paths = (await Promise.all(named.map((path) => files.locate(path)))).filter(
    (path) => path !== null,
  );
  const argv = ['lsattr', '-d', '--', ...paths];
  const listed = await run(argv).catch(() => null);
  return (listed?.out ?? '').split('\n').flatMap((line): NewFinding[] => {
    const [flags = '', path = ''] = line.split(/\s+/, 2);
    if (!/[ia]/.test(flags)) return [];
    const file = named.find((name) => path.endsWith(name)) ?? path;
    return [
      {
        rule: 'auth.immutable',
        severity: 'warning',
        subject: file,
        title: `${file} cannot be changed, not even by root`,
        evidence: [commandEvidence(argv.join(' '), line)],
        suggestion: null,
        byHand: `If that is not wanted: chattr -i ${file}. Otherwise passwords cannot be set.`,
      },
    ];
  });
}
