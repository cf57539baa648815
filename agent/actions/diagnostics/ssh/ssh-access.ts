import { parseModes, type SeenMode } from '../seen-modes.ts';
import { fitsPattern } from '../../../target/name-pattern.ts';
import { isLoginShell, readPeople, type Account, type People } from '../accounts/account-files.ts';
import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import { ProbeFailure, type Probe } from '../probe.ts';
import { askSshd } from './sshd-settings.ts';

const SUGGESTION = { action: 'access.restore-ssh', parameters: {} } as const;
const S_IFMT = 0o170000;
const S_IFREG = 0o100000;

/** Whether anybody can log in over SSH at all, and whose keys sshd passes over. */
export const sshAccess: Probe = {
  id: 'ssh.access',
  area: 'ssh',
  offline: true,
  limitMs: 4_200,
  async look(context) {
    const { settings, exitStatus, command } = await askSshd(context);
    if (exitStatus !== 0) throw new ProbeFailure('sshd does not read its configuration');
    const people = await readPeople(context);
    const seen = await context.observe('homes');
    const homes = parseModes(seen.out);
    const findings: NewFinding[] = [];
    if (settings.get('strictmodes')?.[0] !== 'no') {
      findings.push(...judgeHomes(people.accounts, homes, seen.command));
    }
    const refused = findings.map(({ subject }) => subject);
    if (!whoCanLogIn(people, settings, homes).some(({ name }) => !refused.includes(name))) {
      const asked = ['permitrootlogin', 'passwordauthentication', 'allowusers', 'allowgroups'];
      const said = asked.flatMap((name) => (settings.get(name) ?? []).map((v) => `${name} ${v}`));
      findings.push({
        rule: 'ssh.unreachable_policy',
        severity: 'critical',
        subject: 'sshd',
        title: 'Nobody can log in over SSH: no account is allowed and has a key or a password',
        evidence: [commandEvidence(command, said.join('\n'))],
        suggestion: SUGGESTION,
        byHand:
          'Add a key to /root/.ssh/authorized_keys, or allow an account in a file of /etc/ssh/sshd_config.d.',
      });
    }
    for (const file of ['/etc/nologin', '/run/nologin']) {
      const text = await context.files.read(file);
      if (text === null) continue;
      findings.push({
        rule: 'ssh.nologin',
        severity: 'warning',
        subject: file,
        title: `Only root can log in: ${file} is there`,
        evidence: [fileEvidence(file, null, text)],
        // The other one is systemd's own, while it starts or stops.
        suggestion: file === '/etc/nologin' ? SUGGESTION : null,
        byHand: `rm ${file}`,
      });
    }
    return { findings };
  },
};

/** sshd passes over keys that others could have put there (StrictModes). */
function judgeHomes(
  accounts: readonly Account[],
  homes: ReadonlyMap<string, SeenMode>,
  command: string,
): NewFinding[] {
  return accounts.filter(isPerson).flatMap(({ name, uid, home }): NewFinding[] => {
    const keys = homes.get(`${home}/.ssh/authorized_keys`);
    if (keys === undefined) return [];
    const bad = [home, `${home}/.ssh`, `${home}/.ssh/authorized_keys`].filter((path) => {
      const found = homes.get(path);
      return found !== undefined && ((found.mode & 0o022) !== 0 || ![0, uid].includes(found.uid));
    });
    if (bad.length === 0) return [];
    const shown = bad.map((path) => {
      const { mode, uid: owner } = homes.get(path)!;
      return `${path}: mode 0${(mode & 0o7777).toString(8)}, owner ${owner}`;
    });
    return [
      {
        rule: 'ssh.strictmodes',
        severity: 'critical',
        subject: name,
        title: `sshd refuses the keys of ${name}: others could change them`,
        evidence: [commandEvidence(command.slice(0, 200), shown.join('\n'))],
        suggestion: SUGGESTION,
        byHand: `chown ${name} ${bad.join(' ')} && chmod go-w ${bad.join(' ')}`,
      },
    ];
  });
}

function whoCanLogIn(
  people: People,
  settings: ReadonlyMap<string, string[]>,
  homes: ReadonlyMap<string, SeenMode>,
): Account[] {
  const is = (name: string, value: string) => settings.get(name)?.[0] === value;
  const takesPasswords =
    is('passwordauthentication', 'yes') ||
    (is('usepam', 'yes') && is('kbdinteractiveauthentication', 'yes'));
  const rootLogin = settings.get('permitrootlogin')?.[0] ?? 'yes';
  const otherKeys =
    !is('authorizedkeyscommand', 'none') ||
    !is('authorizedkeysfile', '.ssh/authorized_keys .ssh/authorized_keys2') ||
    !is('trustedusercakeys', 'none');
  return people.accounts.filter(isPerson).filter((account) => {
    const isRoot = account.name === 'root';
    if (isRoot && rootLogin === 'no') return false;
    if (!isAllowed(account, people, settings)) return false;
    const keys = homes.get(`${account.home}/.ssh/authorized_keys`);
    const hasKey = otherKeys || (keys !== undefined && (keys.mode & S_IFMT) === S_IFREG);
    if (hasKey && !is('pubkeyauthentication', 'no')) return true;
    const hash = people.shadow.get(account.name)?.hash;
    return takesPasswords && hash === 'usable' && (!isRoot || rootLogin === 'yes');
  });
}

function isPerson({ shell }: Account): boolean {
  return isLoginShell(shell);
}

export function isAllowed(
  { name }: Account,
  { groups }: People,
  settings: ReadonlyMap<string, string[]>,
): boolean {
  const inGroup = (pattern: string) =>
    [...groups].some(([group, members]) => matches(pattern, group) && members.includes(name));
  const listed = (key: string) => (settings.get(key) ?? []).flatMap((value) => value.split(/\s+/));
  const users = (key: string) => listed(key).some((pattern) => matches(pattern, name));
  if (users('denyusers') || listed('denygroups').some(inGroup)) return false;
  if (listed('allowusers').length > 0 && !users('allowusers')) return false;
  return listed('allowgroups').length === 0 || listed('allowgroups').some(inGroup);
}

/** Patterns of sshd_config(5): `*` and `?`; what follows an @ is about the client's host. */
function matches(pattern: string, name: string): boolean {
  const [user = ''] = pattern.split('@');
  return fitsPattern(user, name);
}
