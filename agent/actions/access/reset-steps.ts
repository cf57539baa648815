import type { z } from 'zod';
import type { resetPasswordParameters } from '../../../proto/actions/access.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { administrators, readPeople } from '../diagnostics/accounts/account-files.ts';
import type { Change, ChangeStep } from '../files/change-steps.ts';
import {
  isExpired,
  isPasswordExpired,
  PASSWD,
  readAccount,
  SHADOW,
  shellFor,
  today,
  type AccountEntry,
} from './account.ts';
import { addKey, fixKeyModes } from './authorized-key.ts';
import { withoutHashes } from './database-lines.ts';
import { clearFailures } from './login-lockout.ts';
import { usableMethod, type HashMethod } from './password-hash.ts';
import { parsePublicKey, type PublicKey } from './public-key.ts';

type Parameters = z.output<typeof resetPasswordParameters>;

/** What the grant wants the user to get: a password that only its recipient can read, or its SSH key. */
export type Access =
  | { type: 'password'; recipient: string; method: HashMethod }
  | { type: 'key'; key: PublicKey };

export interface Reset {
  account: AccountEntry;
  access: Access;
  /** @param hash of the new password; where a plan is made, nobody knows it yet */
  steps: (hash: string) => ChangeStep[];
  findings: string[];
}

/** In the place of a value that is made when the plan is carried out. */
export const hashInPlan = (method: HashMethod) => `(new hash, ${method})`;

/** What lets a user in again, by the wish of the grant. Changes nothing. */
export async function resetSteps(
  context: Pick<ActionContext, 'run' | 'spec'>,
  target: Target,
  parameters: Parameters,
): Promise<Reset> {
  const account = await readAccount(target, parameters.user);
  const access = await accessOf(context, target);
  const shell = await shellFor(target, account, parameters.shell);
  const failures = access.type === 'password' ? await clearFailures(target, account.name) : [];
  const keys = access.type === 'key' ? await keyChanges(target, account, access.key) : [];
  const passwd = passwdChange(account, shell, access);
  const day = today();
  return {
    account,
    access,
    steps: (hash) => [
      ...keySteps(account, keys),
      ...(passwd === null ? [] : [passwdStep(account, passwd)]),
      ...(failures.length === 0 ? [] : [failureStep(account, failures)]),
      shadowStep(account, access, hash, day, parameters.changeAtLogin),
    ],
    findings: await findingsOf(target, account, access, shell, day),
  };
}

async function accessOf(
  context: Pick<ActionContext, 'run' | 'spec'>,
  { files }: Target,
): Promise<Access> {
  const named = context.spec.credentialRecipient;
  if (named === undefined) {
    throw new ActionError(
      'no_credential_recipient',
      'the authorization names nobody to whom a new password could be sealed, and no SSH key',
    );
  }
  if (named.type === 'ssh') return { type: 'key', key: parsePublicKey(named.publicKey) };
  const method = await usableMethod(context, files);
  return { type: 'password', recipient: named.recipient, method };
}

async function keyChanges(
  target: Target,
  account: AccountEntry,
  key: PublicKey,
): Promise<Change[]> {
  const added = await addKey(target, account, key);
  return [...added, ...(await fixKeyModes(target, account, added.map(pathOf)))];
}

const pathOf = ({ path }: Change) => path;

function keySteps({ name }: AccountEntry, changes: Change[]): ChangeStep[] {
  if (changes.length === 0) return [];
  return [
    {
      id: 'key',
      description: `Let the client's key in as ${name}`,
      changes,
      verify: 'The file is read again and has the key; modes and owners are as sshd wants them.',
    },
  ];
}

/** passwd(5): the shell, and `x` where the hash is not looked up in shadow(5). */
function passwdChange(
  { name, passwd }: AccountEntry,
  shell: string | null,
  access: Access,
): Change | null {
  const fields = [...passwd.entry(name)!];
  if (shell !== null) fields[6] = shell;
  if (access.type === 'password') fields[1] = 'x';
  const content = passwd.with(name, fields).bytes;
  if (content.equals(passwd.bytes)) return null;
  return {
    kind: 'file',
    path: PASSWD,
    content,
    mode: 0o644,
    liftsFlags: true,
    shown: withoutHashes,
  };
}

function passwdStep({ name }: AccountEntry, change: Change): ChangeStep {
  return {
    id: 'passwd',
    description: `Give ${name} a shell that works, and have its password looked up in ${SHADOW}`,
    changes: [change],
    verify: 'The file is read again and has the wanted bytes; the shell is a program.',
  };
}

function failureStep({ name }: AccountEntry, changes: Change[]): ChangeStep {
  return {
    id: 'failures',
    description: `Forget the failed log-ins of ${name}, which lock it out`,
    changes,
    verify: 'The lists are empty.',
  };
}

function shadowStep(
  account: AccountEntry,
  access: Access,
  hash: string,
  day: number,
  changeAtLogin: boolean,
): ChangeStep {
  const { name, shadow } = account;
  const fields = [...account.fields];
  const isSet = access.type === 'password';
  const changed = changeAtLogin && isSet ? '0' : String(day);
  if (isSet) fields[1] = hash;
  if (isSet || isPasswordExpired(fields, day)) fields[2] = changed;
  if (isExpired(fields, day)) fields[7] = '';
  return {
    id: 'shadow',
    description: isSet
      ? `Set the new password of ${name}, which also unlocks it`
      : `Let ${name} in again although its time was over`,
    changes: [
      {
        kind: 'file',
        path: shadow.path,
        content: shadow.with(name, fields).bytes,
        mode: 0o640,
        liftsFlags: true,
        shown: (text) => withoutToday(withoutHashes(text), name, changed),
      },
    ],
    verify: isSet
      ? 'The hash in the file is that of the new password; the account is not expired.'
      : 'The account is not expired.',
  };
}

/** A plan says the same tomorrow. */
function withoutToday(text: string, name: string, day: string): string {
  if (day === '0') return text;
  return text
    .split('\n')
    .map((line) => {
      const fields = line.split(':');
      if (fields[0] === name && fields[2] === day) fields[2] = '(today)';
      return fields.join(':');
    })
    .join('\n');
}

async function findingsOf(
  target: Target,
  { name, uid, fields, shell }: AccountEntry,
  access: Access,
  newShell: string | null,
  day: number,
): Promise<string[]> {
  const hash = fields[1] ?? '';
  const isLocked = hash.startsWith('!') || hash.startsWith('*');
  const people = await readPeople(target);
  const others = administrators(people)
    .filter((one) => one.uid !== uid && people.shadow.get(one.name)?.hash === 'usable')
    .map((one) => one.name);
  return [
    isLocked && access.type === 'password'
      ? `${name} is locked or has no password: with the new one it can log in.`
      : '',
    isLocked && access.type === 'password' && others.length > 0
      ? `Others become root with sudo: ${others.slice(0, 10).join(', ')}. If one of them is meant, name it as user.`
      : '',
    isLocked && access.type === 'key'
      ? `The password of ${name} stays locked; sshd lets keys in all the same where it uses PAM.`
      : '',
    isExpired(fields, day) ? `${name} has expired, on day ${fields[7]} since 1970.` : '',
    newShell === null ? '' : `The shell of ${name} is ${shell}; it becomes ${newShell}.`,
  ].filter((text) => text !== '');
}
