import type { TargetFiles } from '../../target/target-files.ts';
import { parseFstab } from '../../target/fstab-lines.ts';
import type { FileAttributes } from '../files/file-state.ts';

const INFO = '/var/lib/dpkg/info';
const NAMES_MAX = 500_000;
const LIST_MAX_BYTES = 1024 * 1024;
const UNIT = /^(?:\/usr)?\/lib\/systemd\/system\/[^/]+\.service$/m;
const UNITS = /^(?:\/usr)?\/lib\/systemd\/system\/[^/]+\.service$/gm;
/** What is worth nothing when it is empty: never a folder with data, which would look like a lost one. */
const FOLDERS = /^\/var\/(?:log|cache)\/[^/]+$/gm;

/** A folder that a daemon writes to and that its package brought. */
export interface DaemonFolder extends FileAttributes {
  path: string;
  package: string;
}

/**
 * Those that are gone, with the owner they need: the user that the package's services run as, root where they
 * begin as root. None that is a file system of its own, which is not mounted.
 */
export async function lostDaemonFolders(files: TargetFiles): Promise<DaemonFolder[]> {
  const fstab = parseFstab((await files.read('/etc/fstab')) ?? '').entries;
  const mounted = new Set(fstab.map(({ mountPoint }) => mountPoint));
  const lost: DaemonFolder[] = [];
  for (const name of await files.list(INFO, NAMES_MAX)) {
    if (!name.endsWith('.list')) continue;
    const text = (await files.read(`${INFO}/${name}`, LIST_MAX_BYTES)) ?? '';
    if (!UNIT.test(text)) continue;
    for (const [path] of text.matchAll(FOLDERS)) {
      if (mounted.has(path) || (await files.lstat(path)) !== null) continue;
      const owner = await ownerOf(files, text);
      if (owner === null || (await isFile(files, name, path))) continue;
      lost.push({ path, package: name.slice(0, -'.list'.length), mode: 0o755, ...owner });
    }
  }
  return lost;
}

/** Null where the services do not agree, or their user is not there. */
async function ownerOf(
  files: TargetFiles,
  list: string,
): Promise<Pick<FileAttributes, 'uid' | 'gid'> | null> {
  const users = new Set<string>();
  for (const [unit] of list.matchAll(UNITS)) {
    const text = (await files.read(unit).catch(() => null)) ?? '';
    if (/^[ \t]*DynamicUser[ \t]*=[ \t]*(?:yes|true|1|on)[ \t]*$/im.test(text)) return null;
    users.add(/^[ \t]*User[ \t]*=[ \t]*(\S+)[ \t]*$/m.exec(text)?.[1] ?? 'root');
  }
  const [user] = users;
  if (users.size !== 1) return null;
  if (user === 'root') return { uid: 0, gid: 0 };
  const passwd = (await files.read('/etc/passwd')) ?? '';
  const found = passwd.split('\n').map((line) => line.split(':'));
  const [, , uid, gid] = found.find(([name]) => name === user) ?? [];
  const ids = { uid: Number(uid || Number.NaN), gid: Number(gid || Number.NaN) };
  return Number.isInteger(ids.uid) && Number.isInteger(ids.gid) ? ids : null;
}

/** dpkg lists folders and files alike; only files have a sum. */
async function isFile(files: TargetFiles, list: string, path: string): Promise<boolean> {
  const sums = `${INFO}/${list.slice(0, -'.list'.length)}.md5sums`;
  return ((await files.read(sums, LIST_MAX_BYTES)) ?? '').includes(`  ${path.slice(1)}\n`);
}
