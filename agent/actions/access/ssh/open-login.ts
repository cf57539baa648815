import { ActionError } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import type { Account, People } from '../../diagnostics/accounts/account-files.ts';
import { isAllowed } from '../../diagnostics/ssh/ssh-access.ts';
import type { Change } from '../../files/change-steps.ts';
import { addKey } from '../authorized-key.ts';
import type { PublicKey } from '../public-key.ts';
import type { ConfigDraft } from './config-draft.ts';
import {
  admit,
  keyFiles,
  mendSetting,
  peopleOf,
  setting,
  takesPasswords,
  wayIn,
  type Serve,
} from './login-policy.ts';

export interface LoginRepair {
  draft: ConfigDraft;
  keys: Change[];
  findings: string[];
  /** Who gets in that was kept out, as a list for people. */
  letIn: string[];
  /** What only a person can decide. */
  left: string[];
}

interface Wishes {
  /** Who must get in; undefined: anybody will do. */
  user: string | undefined;
  key: PublicKey | null;
  /** The order names the key: it is let in, whoever gets in already. */
  isKeyOrdered: boolean;
  /** Whether passwords may be allowed to get there. */
  passwords: boolean;
}

/**
 * Opens a way in for one person where there is none: the smallest change of what sshd allows, and the key of
 * the order. Passwords are allowed only where the order asks for it.
 */
export async function openLogin(
  target: Target,
  people: People,
  draft: ConfigDraft,
  serve: Serve,
  wishes: Wishes,
): Promise<LoginRepair> {
  const repair: LoginRepair = { draft, keys: [], findings: [], letIn: [], left: [] };
  const account = await whoNeedsIt(target, people, draft, serve, wishes);
  if (account === null) return repair;
  const { name } = account;
  const way = await wayIn(target, account, people, await serve(draft, name));
  if (way !== null && !wishes.isKeyOrdered) return repair;
  if (way === null) repair.findings.push(`${name} cannot log in over SSH as things are.`);
  await letPass(repair, account, people, serve, wishes);
  if (repair.left.length === 0) await giveMeans(target, repair, account, people, serve, wishes);
  const isOpened = repair.draft !== draft || repair.keys.length > 0;
  if (way === null && isOpened) repair.letIn.unshift(name);
  return repair;
}

/** Null when somebody gets in, and nobody was named. */
async function whoNeedsIt(
  target: Target,
  people: People,
  draft: ConfigDraft,
  serve: Serve,
  { user, isKeyOrdered }: Wishes,
): Promise<Account | null> {
  const all = peopleOf(people);
  const named = all.find(({ name }) => name === (user ?? 'root'));
  if (named === undefined) {
    throw new ActionError(
      'user_not_found',
      `there is no user ${user ?? 'root'} who could log in: not in /etc/passwd, or without a shell`,
    );
  }
  if (user !== undefined || isKeyOrdered) return named;
  for (const account of all) {
    const settings = await serve(draft, account.name);
    if ((await wayIn(target, account, people, settings)) !== null) return null;
  }
  return named;
}

/** What sshd allows whom: its lists of users and groups, and PermitRootLogin. */
async function letPass(
  repair: LoginRepair,
  account: Account,
  people: People,
  serve: Serve,
  { passwords }: Wishes,
): Promise<void> {
  const { name } = account;
  if (!isAllowed(account, people, await serve(repair.draft, name))) {
    const admitted = await admit(repair.draft, account, people, serve);
    if (admitted === null) {
      repair.left.push(
        `sshd admits others than ${name}, by patterns or groups that others share: change AllowUsers, DenyUsers, AllowGroups or DenyGroups by hand.`,
      );
      return;
    }
    repair.findings.push(`sshd's lists of users do not admit ${name}.`);
    repair.draft = admitted;
  }
  if (account.uid !== 0) return;
  const rootLogin = setting(await serve(repair.draft, name), 'permitrootlogin');
  const wanted = passwords ? 'yes' : 'prohibit-password';
  const enough = passwords ? ['yes'] : ['yes', 'prohibit-password', 'without-password'];
  if (enough.includes(rootLogin)) return;
  const isOpen = async (draft: ConfigDraft) =>
    enough.includes(setting(await serve(draft, name), 'permitrootlogin'));
  const opened = await mendSetting(repair.draft, 'PermitRootLogin', wanted, isOpen);
  if (opened === null) {
    repair.left.push('PermitRootLogin cannot be changed by one line: correct it by hand.');
    return;
  }
  repair.findings.push(`sshd does not let root in: PermitRootLogin is ${rootLogin}.`);
  repair.draft = opened;
}

/** A key, or a password that sshd takes. */
async function giveMeans(
  target: Target,
  repair: LoginRepair,
  account: Account,
  people: People,
  serve: Serve,
  { key, isKeyOrdered, passwords }: Wishes,
): Promise<void> {
  const { name } = account;
  const settings = await serve(repair.draft, name);
  const way = await wayIn(target, account, people, settings);
  if (way !== null && !isKeyOrdered) return;
  if (key !== null) {
    await allowKeys(repair, name, serve);
    await placeKey(target, repair, account, key, await keyFiles(target, account, settings));
    return;
  }
  const hasPassword = people.shadow.get(name)?.hash === 'usable';
  if (passwords && hasPassword) {
    const isTaken = async (draft: ConfigDraft) => takesPasswords(await serve(draft, name));
    const opened = await mendSetting(repair.draft, 'PasswordAuthentication', 'yes', isTaken);
    if (opened !== null) {
      repair.findings.push(`sshd takes no passwords, and ${name} has no key.`);
      repair.letIn.push('whoever else has a password');
      repair.draft = opened;
      return;
    }
  }
  repair.left.push(
    `${name} has no key${hasPassword ? ', and sshd takes no password of it' : ' and no password'}: give a key with key= (the grant must name it)${hasPassword ? ', or passwords=true' : ', or order access.reset-password'}.`,
  );
}

async function allowKeys(repair: LoginRepair, name: string, serve: Serve): Promise<void> {
  const takes = async (draft: ConfigDraft) =>
    setting(await serve(draft, name), 'pubkeyauthentication') !== 'no';
  if (await takes(repair.draft)) return;
  const opened = await mendSetting(repair.draft, 'PubkeyAuthentication', 'yes', takes);
  if (opened === null) {
    repair.left.push('PubkeyAuthentication cannot be changed by one line: correct it by hand.');
    return;
  }
  repair.findings.push('sshd takes no keys: PubkeyAuthentication is no.');
  repair.draft = opened;
}

async function placeKey(
  target: Target,
  repair: LoginRepair,
  account: Account,
  key: PublicKey,
  files: readonly string[],
): Promise<void> {
  const keys = await addKey(target, account, key, files[0] ?? null);
  if (keys.length === 0) return;
  repair.findings.push(`The key ${key.fingerprint} is let in as ${account.name}.`);
  repair.keys = keys;
}
