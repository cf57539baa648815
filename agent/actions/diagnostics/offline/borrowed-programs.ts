import { realpath } from 'node:fs/promises';
import { HOST_WIDE } from '../../../jobs/sandbox.ts';
import type { Target } from '../../../target/open-target.ts';
import { TargetPathError } from '../../../target/target-root.ts';

/** What programs of this machine read of the target, at the places they look for it. */
const SHOWN = ['/etc', '/var/lib/dpkg', '/var/lib/apt', '/var/log/journal'];
/** The loader of programs reads these: the target's would have it load what lies on the disk. */
const LOADER_FILES = ['/etc/ld.so.cache', '/etc/ld.so.preload'];

export interface BorrowOptions {
  /** Power over the network of the sandbox, which is empty and its own. */
  netAdmin?: boolean;
}

/**
 * The command by which a program of this machine looks at the target's files as if they were its own: sshd
 * reads the target's configuration, dpkg its database. No program of the target is run, and everything is
 * read-only. Paths below the target's mount point are rewritten to the target's own.
 */
export async function borrowed(
  target: Pick<Target, 'root' | 'files'>,
  argv: readonly string[],
  { netAdmin = false }: BorrowOptions = {},
): Promise<string[]> {
  const shown: string[] = [];
  for (const path of SHOWN) shown.push(...(await showing(target, path)));
  return [
    ['bwrap', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--die-with-parent'],
    ['--new-session', '--ro-bind', '/', '/', '--proc', '/proc', '--dev', '/dev'],
    ...HOST_WIDE.map((path) => ['--ro-bind-try', path, path]),
    shown,
    ['--tmpfs', '/run', '--perms', '0755', '--dir', '/run/sshd', '--tmpfs', '/tmp'],
    ['--cap-drop', 'ALL'],
    netAdmin ? ['--cap-add', 'CAP_NET_ADMIN', '--cap-add', 'CAP_NET_RAW'] : [],
    ['--'],
    argv.map((word) => inTarget(target, word)),
  ].flat();
}

/** A text in which the target's mount point is left out of every path. */
export function inTarget({ root }: Pick<Target, 'root'>, text: string): string {
  return text.replaceAll(`${root.path}/`, '/').replaceAll(root.path, '/');
}

async function showing({ root, files }: Pick<Target, 'root' | 'files'>, path: string) {
  const host = await realpath(path).catch(() => null);
  if (host !== path) return [];
  const source = await realFolder(root, path);
  if (source === null) return ['--tmpfs', path];
  const covered: string[] = [];
  for (const file of path === '/etc' ? LOADER_FILES : []) {
    if ((await files.lstat(file)) === null) continue;
    covered.push('--ro-bind', file.endsWith('cache') ? file : '/dev/null', file);
  }
  return ['--ro-bind', source, path, ...covered];
}

async function realFolder(root: Target['root'], path: string): Promise<string | null> {
  try {
    const folder = await root.openFolder(path);
    const real = `${root.path}${folder.path === '/' ? '' : folder.path}`;
    await folder.close();
    return real;
  } catch (error) {
    if (error instanceof TargetPathError) return null;
    throw error;
  }
}
