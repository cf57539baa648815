import type { Target } from '../../../target/open-target.ts';
import type { Change } from '../../files/change-steps.ts';
import { DatabaseLines } from '../database-lines.ts';
import { PASSWD, SHADOW } from '../account.ts';
import { ActionError } from '../../../runner/action.ts';

const USER = 'sshd';
const OTHERS_WRITE = 0o022;
/** Where sshd gives up its powers: Debian, Red Hat until 8, from 9 on. */
const FOLDERS = ['/run/sshd', '/var/empty/sshd', '/usr/share/empty.sshd'];
const NOLOGIN = ['/usr/sbin/nologin', '/sbin/nologin', '/bin/false'];
const NOGROUP = 65_534;

export interface SeparationFaults {
  changes: Change[];
  findings: string[];
  /** The account files as they are to become, for sshd to be tried with. */
  accounts: ReadonlyMap<string, Buffer>;
}

/** The user and folder without which sshd does not start; made as the distribution's package makes them. */
export async function judgeSeparation(target: Target): Promise<SeparationFaults> {
  const changes: Change[] = [];
  const findings: string[] = [];
  const accounts = new Map<string, Buffer>();
  const passwd = await DatabaseLines.read(target.root, PASSWD);
  if (passwd === null)
    throw new ActionError(
      'accounts_broken',
      `${PASSWD} is missing: order access.repair-accounts first`,
    );
  if (passwd.entry(USER) === null) {
    const made = passwd.withAdded(await userFields(target, passwd));
    accounts.set(PASSWD, made.bytes);
    changes.push({
      kind: 'file',
      path: PASSWD,
      content: made.bytes,
      mode: 0o644,
      liftsFlags: true,
    });
    findings.push(`The user ${USER} that sshd gives up its powers to is missing.`);
    const shadow = await DatabaseLines.read(target.root, SHADOW);
    if (shadow !== null && shadow.entry(USER) === null) {
      const content = shadow.withAdded([USER, '!', ...Array.from({ length: 7 }, () => '')]).bytes;
      changes.push({
        kind: 'file',
        path: SHADOW,
        content,
        mode: 0o640,
        liftsFlags: true,
        shown: withoutOthers,
      });
    }
  }
  for (const path of FOLDERS) {
    // On disks that is another one, in memory.
    if (target.kind === 'offline' && path.startsWith('/run/')) continue;
    const found = await target.files.lstat(path);
    if (found === null || !found.isDirectory()) continue;
    if (found.uid === 0 && (found.mode & OTHERS_WRITE) === 0) continue;
    const mode = found.mode & 0o7777 & ~OTHERS_WRITE;
    changes.push({ kind: 'attributes', path, mode, uid: 0, gid: 0 });
    findings.push(`${path} could be written by others than root: sshd does not start with it.`);
  }
  return { changes, findings, accounts };
}

async function userFields({ files }: Target, passwd: DatabaseLines): Promise<string[]> {
  const taken = new Set(passwd.entries().map(([, line]) => Number(line.split(':')[2])));
  const groups = (await files.read('/etc/group')) ?? '';
  const [, ownGroup] = /^sshd:[^:]*:(\d+):/m.exec(groups) ?? [];
  const uid = Array.from({ length: 900 }, (_, at) => 999 - at).find((one) => !taken.has(one));
  if (uid === undefined)
    throw new ActionError('no_free_uid', 'every number of a system user is taken');
  const [ofDebian = '', ...ofRedHat] = FOLDERS;
  const homes = await Promise.all(ofRedHat.map((path) => files.stat(path)));
  const home = ofRedHat[homes.findIndex((found) => found !== null)] ?? ofDebian;
  const shells = await Promise.all(NOLOGIN.map((path) => files.stat(path)));
  const shell = NOLOGIN[shells.findIndex((found) => found !== null)] ?? NOLOGIN[0]!;
  return [USER, 'x', String(uid), ownGroup ?? String(NOGROUP), '', home, shell];
}

/** For plans: of shadow(5) only the line that is added. */
function withoutOthers(text: string): string {
  const own = text.split('\n').filter((line) => line.startsWith(`${USER}:`));
  return own.map((line) => `${line}\n`).join('');
}
