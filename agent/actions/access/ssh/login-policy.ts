import type { Target } from '../../../target/open-target.ts';
import type { Account, People } from '../../diagnostics/accounts/account-files.ts';
import { isLoginShell } from '../../diagnostics/accounts/account-files.ts';
import { isAllowed } from '../../diagnostics/ssh/ssh-access.ts';
import { keyPlace } from '../authorized-key.ts';
import type { ConfigDraft, Directive } from './config-draft.ts';

export type Settings = ReadonlyMap<string, string[]>;
export type Serve = (draft: ConfigDraft, user: string) => Promise<Settings>;

const PEOPLE_MAX = 24;

export const setting = (settings: Settings, name: string) => settings.get(name)?.[0] ?? '';

/** People who could log in; root first, since it is whom one looks for. */
export function peopleOf({ accounts }: People): Account[] {
  return accounts
    .filter(({ shell }) => isLoginShell(shell))
    .toSorted((a, b) => Number(b.uid === 0) - Number(a.uid === 0))
    .slice(0, PEOPLE_MAX);
}

/** How somebody may log in, as things are; null when in no way. */
export async function wayIn(
  target: Target,
  account: Account,
  people: People,
  settings: Settings,
): Promise<'key' | 'password' | null> {
  const isRoot = account.uid === 0;
  const root = setting(settings, 'permitrootlogin');
  if (isRoot && root === 'no') return null;
  if (!isAllowed(account, people, settings)) return null;
  const takesKeys = setting(settings, 'pubkeyauthentication') !== 'no';
  if (takesKeys && (await hasKey(target, account, settings))) return 'key';
  const hash = people.shadow.get(account.name)?.hash;
  const takesHis = takesPasswords(settings) && (!isRoot || root === 'yes');
  return takesHis && hash === 'usable' ? 'password' : null;
}

export function takesPasswords(settings: Settings): boolean {
  const is = (name: string) => setting(settings, name) === 'yes';
  return is('passwordauthentication') || (is('usepam') && is('kbdinteractiveauthentication'));
}

/** Whether there is a key for an account, or something else than a file says so. */
async function hasKey(target: Target, account: Account, settings: Settings): Promise<boolean> {
  const elsewhere = ['authorizedkeyscommand', 'trustedusercakeys'].some(
    (name) => !['none', ''].includes(setting(settings, name)),
  );
  if (elsewhere) return true;
  for (const path of await keyFiles(target, account, settings)) {
    const text = await target.files.read(path).catch(() => null);
    if (/^(?![ \t]*#)(?:.*[ \t])?(?:ssh-|ecdsa-|sk-)\S+ +AAAA/m.test(text ?? '')) return true;
  }
  return false;
}

/** The files that sshd reads an account's keys from (AuthorizedKeysFile of sshd_config(5)). */
export async function keyFiles(
  target: Target,
  account: Account,
  settings: Settings,
): Promise<string[]> {
  const words = setting(settings, 'authorizedkeysfile').split(/\s+/);
  const { home } = await keyPlace(target, account).catch(() => ({ home: account.home }));
  return words
    .filter((word) => word !== '' && word !== 'none')
    .map((word) => word.replaceAll('%%', '%').replaceAll('%h', home).replaceAll('%u', account.name))
    .map((word) => (word.startsWith('/') ? word : `${home === '/' ? '' : home}/${word}`));
}

/**
 * Changes lines until sshd's own answer is as wanted: each alone, then all of them. Null when none of that
 * helps.
 */
export async function mend(
  draft: ConfigDraft,
  lines: readonly Directive[],
  edit: (line: Directive, text: string) => string | null,
  isMended: (draft: ConfigDraft) => Promise<boolean>,
): Promise<ConfigDraft | null> {
  const change = (one: ConfigDraft, line: Directive) => one.with(line, edit(line, one.line(line)!));
  for (const line of lines) {
    const changed = change(draft, line);
    if (await isMended(changed)) return changed;
  }
  if (lines.length < 2) return null;
  const all = lines.reduce(change, draft);
  return (await isMended(all)) ? all : null;
}

/** A setting of one value, in a line that is there, else in one before all others. */
export async function mendSetting(
  draft: ConfigDraft,
  keyword: string,
  value: string,
  isMended: (draft: ConfigDraft) => Promise<boolean>,
): Promise<ConfigDraft | null> {
  const lines = draft.directives(keyword.toLowerCase());
  const mended = await mend(draft, lines, (_, text) => withValue(text, value), isMended);
  if (mended !== null) return mended;
  const added = draft.withFirst(`${keyword} ${value}`);
  return (await isMended(added)) ? added : null;
}

function withValue(text: string, value: string): string {
  return text.replace(/^(\s*[A-Za-z0-9]+)\s*[=\s].*$/, `$1 ${value}`);
}

/** Lets sshd's lists of users and groups admit an account; null when only a person can decide how. */
export async function admit(
  draft: ConfigDraft,
  account: Account,
  people: People,
  serve: Serve,
): Promise<ConfigDraft | null> {
  const { name } = account;
  const isIn = async (one: ConfigDraft) => isAllowed(account, people, await serve(one, name));
  const denied = draft
    .directives('denyusers')
    .filter(({ args }) => args.split(/\s+/).includes(name));
  // Each list may stand in the way by itself, or both.
  const withoutDenial = denied.reduce(
    (one, line) => one.with(line, withoutWord(one.line(line)!, name)),
    draft,
  );
  for (const start of [draft, withoutDenial]) {
    if (await isIn(start)) return start;
    const users = start.directives('allowusers');
    const byUser = await mend(start, users, (_, text) => `${text} ${name}`, isIn);
    if (byUser !== null) return byUser;
    const group = ownGroup(account, people);
    const groups = group === null ? [] : start.directives('allowgroups');
    const byGroup = await mend(start, groups, (_, text) => `${text} ${group}`, isIn);
    if (byGroup !== null) return byGroup;
  }
  return null;
}

/** Null, a comment, when nobody else is named. */
function withoutWord(text: string, word: string): string | null {
  const [, start = '', rest = ''] = /^(\s*[A-Za-z]+\s+)(.*)$/.exec(text) ?? [];
  const left = rest.split(/\s+/).filter((one) => one !== word && one !== '');
  return left.length === 0 ? null : start + left.join(' ');
}

/** A group that nobody else is in. */
function ownGroup({ name }: Account, { groups }: People): string | null {
  const own = [...groups].find(
    ([, members]) => members.length > 0 && members.every((one) => one === name),
  );
  return own?.[0] ?? null;
}
