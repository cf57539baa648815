import { ActionError } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetPathError } from '../../target/target-root.ts';
import type { Account } from '../diagnostics/accounts/account-files.ts';
import { attributesOf } from '../files/attributes.ts';
import type { Change } from '../files/change-steps.ts';
import { readState, type FileAttributes } from '../files/file-state.ts';
import { admits, keyLine, withoutOptions, type PublicKey } from './public-key.ts';

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
  const text = before?.bytes.toString('latin1') ?? '';
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
      shown: withoutOptions,
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
 * sshd_config(5)), and the account the right to read them. Only what is wrong is touched.
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
    [file, 0o600],
  ] as const) {
    const found = await target.files.lstat(path);
    if (found === null || except.includes(path)) continue;
    const wanted = usable(attributesOf(found), account, least);
    changes.push({ kind: 'attributes', path, straight: true, ...wanted });
  }
  return changes;
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
