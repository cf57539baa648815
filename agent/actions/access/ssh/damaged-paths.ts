import type { Target } from '../../../target/open-target.ts';
import type { SeenMode } from '../../diagnostics/seen-modes.ts';
import type { Change } from '../../files/change-steps.ts';

/** Nobody logs in without these, whatever else is right: folders to pass through, files to be looked up in. */
const PATHS: readonly [path: string, mode: number][] = [
  ['/', 0o755],
  ['/bin', 0o755],
  ['/etc', 0o755],
  ['/etc/group', 0o644],
  ['/etc/passwd', 0o644],
  ['/etc/ssh', 0o755],
  ['/etc/ssh/sshd_config', 0o600],
  ['/home', 0o755],
  ['/lib', 0o755],
  ['/tmp', 0o1777],
  ['/usr', 0o755],
  ['/usr/bin', 0o755],
  ['/usr/lib', 0o755],
  ['/usr/sbin', 0o755],
  ['/var', 0o755],
  ['/var/tmp', 0o1777],
];
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;
const LOOK_AT_MAX = 400;
/** So many files of /etc that everybody may write are no accident of one. */
const MASS = 10;

/**
 * Modes and owners of a short list of paths that are damaged. What a mode has less than it must have is
 * given, and the right of everybody to write is taken; whatever else an administrator chose stays.
 *
 * @param seen what cannot be looked at through `files`, as somebody else saw it
 */
export async function damagedPaths(
  { files }: Pick<Target, 'files'>,
  seen: ReadonlyMap<string, SeenMode> = new Map(),
): Promise<{ changes: Change[]; findings: string[] }> {
  const changes: Change[] = [];
  const findings: string[] = [];
  for (const [path, least] of PATHS) {
    const found = seen.get(path) ?? (await plainAt(files, path));
    if (found === null || isLink(found)) continue;
    const now = found.mode & 0o7777;
    const open = (least & STICKY) === 0 ? now & ~OTHERS_WRITE : now;
    const mode = open | least;
    if (mode === now && found.uid === 0) continue;
    changes.push({ kind: 'attributes', path, mode, uid: 0 });
    findings.push(`${path} has mode 0${now.toString(8)} and owner ${found.uid}.`);
  }
  if (await isMassDamage(files)) {
    findings.push(
      'Many files in /etc may be written by everybody: more than SSH is damaged, and only what keeps people from logging in is put right here.',
    );
  }
  return { changes, findings };
}

/** One, as /bin on a merged system, has no mode of its own. */
const isLink = ({ mode }: SeenMode) => (mode & 0o170000) === 0o120000;

async function plainAt(files: Target['files'], path: string): Promise<SeenMode | null> {
  const found = await files.lstat(path);
  if (found?.isDirectory() === true) return found;
  return found?.isFile() === true && found.nlink === 1 ? found : null;
}

async function isMassDamage(files: Target['files']): Promise<boolean> {
  let open = 0;
  for (const name of (await files.list('/etc')).slice(0, LOOK_AT_MAX)) {
    const found = await files.lstat(`/etc/${name}`);
    if (found?.isFile() === true && (found.mode & OTHERS_WRITE) !== 0) open++;
  }
  return open >= MASS;
}
