import { ActionError } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { isLoginShell, parsePasswd, type Account } from '../diagnostics/accounts/account-files.ts';
import { DatabaseLines } from './database-lines.ts';

export const PASSWD = '/etc/passwd';
export const SHADOW = '/etc/shadow';
const SHADOW_FIELDS = 9;
const DAY_MS = 86_400_000;

/** An account of the target and where it stands. */
export interface AccountEntry extends Account {
  passwd: DatabaseLines;
  shadow: DatabaseLines;
  /** Its line of shadow(5). */
  fields: readonly string[];
}

/**
 * Looks an account up in the target's own files. Throws ActionError: `user_not_found`, and
 * `accounts_broken` where those files cannot be relied on.
 */
export async function readAccount({ root }: Target, user: string): Promise<AccountEntry> {
  const passwd = await DatabaseLines.read(root, PASSWD);
  const account = parsePasswd(passwd?.text ?? '').find(({ name }) => name === user);
  if (passwd === null || (account === undefined && passwd.entry(user) !== null)) {
    throw broken(passwd === null ? `${PASSWD} is missing` : `the line of ${user} in ${PASSWD}`);
  }
  if (account === undefined) {
    throw new ActionError(
      'user_not_found',
      `there is no user ${user} in ${PASSWD}; it is spelt otherwise, or kept elsewhere (LDAP)`,
    );
  }
  const shadow = await DatabaseLines.read(root, SHADOW);
  const fields = shadow?.entry(user) ?? null;
  if (shadow === null) throw broken(`${SHADOW} is missing`);
  if (fields?.length !== SHADOW_FIELDS) {
    throw broken(`${user} has no line of ${SHADOW_FIELDS} fields in ${SHADOW}`);
  }
  return { ...account, passwd, shadow, fields };
}

function broken(what: string): ActionError {
  return new ActionError('accounts_broken', `${what}: order access.repair-accounts first`);
}

export function today(): number {
  return Math.floor(Date.now() / DAY_MS);
}

/** Whether an account is past its date (field 8 of shadow(5)). */
export function isExpired(fields: readonly string[], day: number): boolean {
  const expires = fields[7] ?? '';
  return /^\d+$/.test(expires) && Number(expires) <= day;
}

/** Whether its password is so old, or marked so, that it must be changed before anything else. */
export function isPasswordExpired(fields: readonly string[], day: number): boolean {
  const [, , changed = '', , most = ''] = fields;
  if (changed === '0') return true;
  return /^\d+$/.test(changed) && /^\d+$/.test(most) && Number(changed) + Number(most) < day;
}

/** The shell an account is to have, null where its own is one; `wanted` is that of the order. */
export async function shellFor(
  { files }: Target,
  { name, uid, shell }: Account,
  wanted?: string,
): Promise<string | null> {
  if (wanted !== undefined) {
    if (wanted === shell) return null;
    if (await isProgram(files, wanted)) return wanted;
    throw new ActionError('shell_missing', `${wanted} is no program on the target`);
  }
  if (isLoginShell(shell) && (await isProgram(files, shell))) return null;
  if (!isLoginShell(shell) && uid !== 0) {
    throw new ActionError(
      'not_a_login_account',
      `${name} has the shell ${shell}, so that nobody logs in with it; if somebody shall, name a shell with the parameter shell`,
    );
  }
  for (const found of ['/bin/bash', '/bin/sh']) {
    if (await isProgram(files, found)) return found;
  }
  throw new ActionError('shell_missing', 'neither /bin/bash nor /bin/sh is there');
}

async function isProgram(files: Target['files'], path: string): Promise<boolean> {
  const found = await files.stat(path).catch(() => null);
  return found !== null && found.isFile() && (found.mode & 0o111) !== 0;
}
