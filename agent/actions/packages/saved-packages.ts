import { copyFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import { runDpkg } from './apt-session.ts';
import type { InstalledPackage } from './installed-packages.ts';
import { archiveIdentity } from './package-archives.ts';
import { filesOf, repack } from './repack.ts';

const CACHE = '/var/cache/apt/archives';
/** Programs stop working part-way when these are put back: their own scripts refuse it, or ours need them. */
const NEVER_PUT_BACK = new Set(['libc6', 'libc-bin', 'libcrypt1', 'apt', 'systemd']);

/** How an earlier version can be kept, or why it cannot. */
export type Keeping =
  | { how: 'archive'; path: string; bytes: number }
  | { how: 'repack'; bytes: number }
  | { how: 'none'; why: string };

/** Decides how the version of a package that is there now can be put back later. Changes nothing. */
export async function howToKeep(
  context: ActionContext,
  entry: InstalledPackage,
  diverted: ReadonlySet<string>,
): Promise<Keeping> {
  const none = (why: string): Keeping => ({ how: 'none', why: `${entry.name} ${why}` });
  if (entry.isEssential || NEVER_PUT_BACK.has(entry.name)) {
    return none('is part of what the system itself runs on: no older version is put over it');
  }
  if (entry.state !== 'installed')
    return none(`is ${entry.state}: there is no whole version of it`);
  const cached = join(CACHE, archiveName(entry));
  if (await isArchiveOf(context, cached, entry)) {
    return { how: 'archive', path: cached, bytes: (await stat(cached)).size };
  }
  const other = (await filesOf(entry)).find((file) => diverted.has(file));
  if (other !== undefined) return none(`has a diverted file, ${other}: it cannot be packed again`);
  return { how: 'repack', bytes: entry.installedKibibytes * 1024 + 64 * 1024 };
}

/** Keeps it as a file in the folder; the file is not yet durable. */
export async function keep(
  context: ActionContext,
  entry: InstalledPackage,
  keeping: Exclude<Keeping, { how: 'none' }>,
  folder: string,
): Promise<string> {
  const path = join(folder, archiveName(entry));
  if (keeping.how === 'archive') await copyFile(keeping.path, path);
  else await repack(context, entry, path);
  return path;
}

/** Paths that a package does not own where dpkg's list says so: dpkg-divert(1). */
export async function divertedPaths(context: ActionContext): Promise<Set<string>> {
  const done = await runDpkg(context, ['dpkg-divert', '--list'], { output: 'capture' });
  return new Set(
    done.out.split('\n').flatMap((line) => {
      const [, path, to] = /diversion of (\S+) to (\S+)/.exec(line) ?? [];
      return path === undefined ? [] : [path, to!];
    }),
  );
}

/** As apt names the archive of a package. */
export function archiveName({
  name,
  version,
  architecture,
}: Pick<InstalledPackage, 'name' | 'version' | 'architecture'>): string {
  const quoted = version.replaceAll('_', '%5f').replaceAll(':', '%3a');
  return `${name}_${quoted}_${architecture}.deb`;
}

/** Whether it is the archive the installed package came from: the sums of all files are the same. */
async function isArchiveOf(
  context: ActionContext,
  path: string,
  entry: InstalledPackage,
): Promise<boolean> {
  const isFile = await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
  if (!isFile) return false;
  const found = await archiveIdentity(context, path).catch(() => null);
  if (found === null || found.version !== entry.version || found.name !== entry.name) return false;
  const own = await sumsOf(context, entry);
  if (own === null) return false;
  const folder = join(context.directory, 'cached-control');
  await rm(folder, { recursive: true, force: true });
  try {
    const argv = ['dpkg-deb', '--control', path, folder];
    const done = await runDpkg(context, argv, { output: 'capture' });
    if (done.exitStatus !== 0) return false;
    return (await readFile(join(folder, 'md5sums'), 'utf8')) === own;
  } catch {
    return false;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function sumsOf(context: ActionContext, entry: InstalledPackage): Promise<string | null> {
  const argv = ['dpkg-query', '--control-show', entry.dpkgName, 'md5sums'];
  const done = await runDpkg(context, argv, { output: 'capture' });
  return done.exitStatus === 0 && !done.truncated ? done.out : null;
}
