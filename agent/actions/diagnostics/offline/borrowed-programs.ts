import { readdir, readlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import type { CommandResult } from '../../../process/command.ts';
import type { ActionContext } from '../../../runner/action.ts';
import { withCallFilter } from '../../../target/offline/call-filter.ts';
import type { Target, TargetLayout } from '../../../target/open-target.ts';
import { TargetPathError } from '../../../target/target-root.ts';
import type { LookOptions } from '../probe.ts';

/** What programs of this machine read of the target, at the places they look for it. */
const SHOWN = ['/etc', '/var/lib/dpkg', '/var/lib/apt', '/var/log/journal'];
/** The loader of programs reads these: the target's would have it load what lies on the disk. */
const LOADER_FILES = ['/etc/ld.so.cache', '/etc/ld.so.preload'];
/** Where packages of this machine have programs, libraries and what belongs to them; nobody's own files. */
const PROGRAM_FOLDER = /^(?:bin|sbin|lib\w*|share)$/;
/** How sshd, visudo and nft name a line: `FILE line 3`, `FILE:3`, `FILE: syntax error near line 3`. */
const PLACE = /(\/[^\s:'"]{1,4096})(?::|:? line |:[^\n]{0,300} line )\d+/g;

type Look = (argv: readonly string[], options?: LookOptions) => Promise<CommandResult>;
type Seen = Pick<Target, 'root' | 'files'>;

export interface BorrowOptions {
  /** Power over the network of the sandbox, which is empty and its own. */
  netAdmin?: boolean;
}

/**
 * Programs of this machine that see the target's files as if they were their own: sshd reads the target's
 * configuration, dpkg its database. No program of the target is run, also where configuration would have one
 * loaded: its folders are data. Everything is read-only, of this machine nothing is there but its programs, and
 * they may ask the kernel for no more than confined jobs. Paths below the target's mount point are rewritten to
 * the target's own.
 */
export class BorrowedPrograms {
  private readonly directory: string;
  private readonly target: Seen;
  private readonly look: Look;
  /** Arguments of bubblewrap that show the target's folders. */
  private readonly shown: readonly string[];

  private constructor(directory: string, target: Seen, look: Look, shown: readonly string[]) {
    this.directory = directory;
    this.target = target;
    this.look = look;
    this.shown = shown;
  }

  static async of(
    { directory }: Pick<ActionContext, 'directory'>,
    target: Seen & { layout: Pick<TargetLayout, 'mounts' | 'place'> },
    look: Look,
  ): Promise<BorrowedPrograms> {
    const shown: string[] = [];
    for (const path of SHOWN) shown.push(...(await showing(target, path)));
    return new BorrowedPrograms(directory, target, look, shown);
  }

  /**
   * What a program says. A complaint about a file that is not the target's is cut down to its place:
   * configuration may include any path, and the program quotes what it finds there.
   */
  async run(argv: readonly string[], options: BorrowOptions = {}): Promise<CommandResult> {
    const words = await this.around(options);
    const own = argv.map((word) => inTarget(this.target, word));
    const done = await withCallFilter(this.directory, (filter, descriptors) =>
      this.look([...words, ...filter, '--', ...own], { descriptors }),
    );
    const err = await withoutForeignLines(this.target, done.err);
    // What a program prints when it is content are records, which name files of all kinds.
    const out = done.exitStatus === 0 ? done.out : await withoutForeignLines(this.target, done.out);
    return { ...done, out, err };
  }

  private async around({ netAdmin = false }: BorrowOptions): Promise<string[]> {
    return [
      ['bwrap', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--die-with-parent'],
      ['--new-session', ...(await programFolders()), '--dev', '/dev'],
      this.shown,
      ['--tmpfs', '/run', '--perms', '0755', '--dir', '/run/sshd', '--tmpfs', '/tmp'],
      ['--remount-ro', '/', '--cap-drop', 'ALL'],
      netAdmin ? ['--cap-add', 'CAP_NET_ADMIN', '--cap-add', 'CAP_NET_RAW'] : [],
      // The target's says which libraries to load.
      ['--setenv', 'OPENSSL_CONF', '/dev/null'],
    ].flat();
  }
}

/** They may be folders of the root, or links to those of /usr, as on every newer system. */
async function programFolders(): Promise<string[]> {
  const binds: string[] = [];
  for (const parent of ['/usr', '/']) {
    for (const name of (await readdir(parent)).filter((one) => PROGRAM_FOLDER.test(one))) {
      const path = join(parent, name);
      const link = await readlink(path).catch(() => null);
      binds.push(...(link === null ? ['--ro-bind', path, path] : ['--symlink', link, path]));
    }
  }
  return binds;
}

async function withoutForeignLines({ files }: Seen, text: string): Promise<string> {
  for (const [place, file] of text.matchAll(PLACE)) {
    const isShown = SHOWN.some((folder) => posix.normalize(file!).startsWith(`${folder}/`));
    // Through a link the program may have read something else than lies there in the target.
    const isOwn = isShown && (await isReachedWithoutLinks(files, file!));
    if (!isOwn) return `${place}: not shown, since it is none of the files that were looked at\n`;
  }
  return text;
}

async function isReachedWithoutLinks(files: Target['files'], path: string): Promise<boolean> {
  const [root, real] = await Promise.all([files.locate('/'), files.locate(path)]).catch(() => []);
  return typeof root === 'string' && real === join(root, path);
}

/** A text in which the target's mount point is left out of every path. */
export function inTarget({ root }: Pick<Target, 'root'>, text: string): string {
  return text.replaceAll(`${root.path}/`, '/').replaceAll(root.path, '/');
}

async function showing(
  { root, files, layout }: Parameters<typeof BorrowedPrograms.of>[1],
  path: string,
): Promise<string[]> {
  const found = await realFolder(root, path);
  if (found === null) return ['--tmpfs', path];
  const source = join(layout.place, 'shown', path);
  await layout.mounts.mountAgain(found, source, 'data');
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
