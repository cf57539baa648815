import { dirname } from 'node:path';
import { ActionError } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetPathError } from '../../target/target-root.ts';
import type { Account } from '../diagnostics/accounts/account-files.ts';
import { attributesOf } from '../files/attributes.ts';
import type { Change } from '../files/change-steps.ts';
import { readState, type FileAttributes } from '../files/file-state.ts';
import { admits, keyLine, linesWithKeys, withoutOptions, type PublicKey } from './public-key.ts';

const OTHERS_WRITE = 0o022;

/** Where sshd looks for the keys of an account. */
export interface KeyPlace {
  home: string;
  folder: string;
  file: string;
}

/**
 * Where an account's own keys belong, with the home's real name: from there on no symlink is followed, since
 * the account itself could have put one there. Throws ActionError `home_missing`.
 */
export async function keyPlace({ root }: Target, { name, home }: Account): Promise<KeyPlace> {
  const folder = await root.openFolder(home).catch((error: unknown) => {
    if (!(error instanceof TargetPathError)) throw error;
    throw new ActionError('home_missing', `the home of ${name} cannot be used: ${error.message}`);
  });
  await folder.close();
  const base = folder.path === '/' ? '' : folder.path;
  return { home: folder.path, folder: `${base}/.ssh`, file: `${base}/.ssh/authorized_keys` };
}

/**
 * Lets a key into an account, where it is not let in already.
 *
 * @param named the file that sshd reads, where it is set to another than the usual one: root's then
 */
export async function addKey(
  target: Target,
  account: Account,
  key: PublicKey,
  named: string | null = null,
): Promise<Change[]> {
  const place = await keyPlace(target, account);
  const file = named ?? place.file;
  if (!file.startsWith(`${place.home === '/' ? '' : place.home}/`)) {
    return addRootsKey(target, file, key);
  }
  const before = await readState(target.root, file, true);
  const part = before === null ? whole : await partFor(target, account, file, before);
  const text = part(before?.bytes.toString('latin1') ?? '');
  if (admits(text, key)) return [];
  const owner = { uid: account.uid, gid: account.gid };
  return [
    {
      kind: 'file',
      path: file,
      content: withKey(text, key),
      mode: 0o600,
      owner,
      folders: { mode: 0o700, ...owner },
      label: 'ssh_home_t',
      ...(before !== null && { corrects: usable(before, account, 0o600) }),
      straight: true,
      liftsFlags: true,
      shown: (all) => withoutOptions(part(all)),
    },
  ];
}

/** In a folder of root's, such as /etc/ssh/authorized_keys/USER. */
async function addRootsKey({ root }: Target, file: string, key: PublicKey): Promise<Change[]> {
  const text = (await readState(root, file))?.bytes.toString('latin1') ?? '';
  if (admits(text, key)) return [];
  return [
    {
      kind: 'file',
      path: file,
      content: withKey(text, key),
      mode: 0o644,
      straight: true,
      liftsFlags: true,
      shown: withoutOptions,
    },
  ];
}

/** @param text in Latin-1, so that bytes that are no text stay what they are */
function withKey(text: string, key: PublicKey): Buffer {
  const start = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return Buffer.concat([Buffer.from(start, 'latin1'), Buffer.from(`${keyLine(key)}\n`)]);
}

/**
 * Gives home, `.ssh` and keys the modes and owners without which sshd passes over the keys (StrictModes of
 * sshd_config(5)), and the account the right to read them. Only what is wrong is touched. Throws ActionError
 * `keys_of_others` for what an account may have put in their place to be given it: it can rename what lies in a
 * folder of its own, whomever it belongs to.
 */
export async function fixKeyModes(
  target: Target,
  account: Account,
  except: readonly string[] = [],
): Promise<Change[]> {
  const { home, folder, file } = await keyPlace(target, account);
  const changes: Change[] = [];
  for (const [path, least] of [
    [home, 0o100],
    [folder, 0o700],
  ] as const) {
    const found = await target.files.lstat(path);
    if (found === null || except.includes(path)) continue;
    const wanted = usable(attributesOf(found), account, least);
    if (path === folder && wanted.uid !== undefined)
      await requireOwnContent(target, account, folder);
    changes.push({ kind: 'attributes', path, straight: true, inode: found.ino, ...wanted });
  }
  if (!except.includes(file)) changes.push(...(await keyFileChanges(target, account, file)));
  return changes;
}

/** A file that belongs to somebody else is not given away: a new one gets what the account may have of it. */
async function keyFileChanges(target: Target, account: Account, file: string): Promise<Change[]> {
  const found = await target.files.lstat(file);
  if (found === null) return [];
  const part = await partFor(target, account, file, attributesOf(found));
  const wanted = usable(attributesOf(found), account, 0o600);
  if (found.uid === account.uid || (part === whole && wanted.uid === undefined)) {
    return [{ kind: 'attributes', path: file, straight: true, inode: found.ino, ...wanted }];
  }
  const before = (await readState(target.root, file, true))!;
  const content = Buffer.from(part(before.bytes.toString('latin1')), 'latin1');
  if (content.length === 0 && before.bytes.length > 0) {
    throw othersKeys(account, file, before.uid, 'holds no keys');
  }
  return [
    {
      kind: 'file',
      path: file,
      content,
      mode: 0o600,
      corrects: { mode: 0o600, uid: account.uid, gid: account.gid },
      straight: true,
      liftsFlags: true,
      shown: (all) => withoutOptions(part(all)),
    },
  ];
}

const whole = (text: string) => text;

/** What the account may be given of a file in the place of its keys: all that it can read, else lines with keys. */
async function partFor(
  target: Target,
  account: Account,
  file: string,
  { uid, mode }: FileAttributes,
): Promise<(text: string) => string> {
  const isReadable =
    uid === account.uid ||
    account.uid === 0 ||
    ((mode & 0o004) !== 0 && (await isEnterable(target, account, dirname(file))));
  return isReadable ? whole : linesWithKeys;
}

/** Whether the account can read what lies there and others may read. */
async function isEnterable(target: Target, account: Account, folder: string): Promise<boolean> {
  const found = await target.files.lstat(folder);
  return found === null || found.uid === account.uid || (found.mode & 0o001) !== 0;
}

async function requireOwnContent(target: Target, account: Account, folder: string): Promise<void> {
  if (account.uid === 0) return;
  for (const name of await target.files.list(folder)) {
    const found = await target.files.lstat(`${folder}/${name}`);
    if (name === 'authorized_keys' || found === null || found.uid === account.uid) continue;
    throw othersKeys(account, folder, found.uid, `holds ${name}`);
  }
}

function othersKeys({ name }: Account, path: string, uid: number, why: string): ActionError {
  return new ActionError(
    'keys_of_others',
    `${path} does not belong to ${name} and ${why}, of the user with number ${uid}: look whose it is, then give it to ${name} (chown) or move it away`,
  );
}

/** @param least what the owner must be able to do */
function usable(
  { mode, uid }: FileAttributes,
  account: Account,
  least: number,
): Partial<FileAttributes> {
  const safe = (mode & ~OTHERS_WRITE) | least;
  if (uid === account.uid) return { mode: safe };
  // Root's own is safe, and good where others may read it.
  const isReadable = uid === 0 && (mode & 0o007 & (least >>> 6) & ~2) === ((least >>> 6) & ~2);
  return isReadable ? { mode: safe } : { mode: safe, uid: account.uid, gid: account.gid };
}
