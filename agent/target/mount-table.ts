import { readFile } from 'node:fs/promises';

/** One line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export interface Mount {
  major: number;
  minor: number;
  /** Path within the file system that the mount shows at its mount point. */
  root: string;
  mountPoint: string;
  type: string;
  source: string;
  /** Options of the file system, such as `upperdir` of an overlay. */
  options: ReadonlyMap<string, string>;
}

/** The mounts of this process's mount namespace, in the order they were made. */
export async function readMounts(): Promise<Mount[]> {
  return parseMounts(await readFile('/proc/self/mountinfo', 'utf8'));
}

export function parseMounts(mountinfo: string): Mount[] {
  return mountinfo
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => {
      const [before, after] = line.split(' - ');
      const [, , device, root, mountPoint] = (before ?? '').split(' ');
      const [type, source, options] = (after ?? '').split(' ');
      const [major, minor] = (device ?? '').split(':').map(Number);
      if (major === undefined || minor === undefined || mountPoint === undefined) return [];
      return {
        major,
        minor,
        root: unescape(root ?? '/'),
        mountPoint: unescape(mountPoint),
        type: type ?? '',
        source: unescape(source ?? ''),
        options: parseOptions(options ?? ''),
      };
    });
}

/** The mount a path lies on: of those above it the nearest, of several there the last. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  const above = mounts.filter(
    ({ mountPoint }) =>
      mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`),
  );
  const nearest = Math.max(...above.map(({ mountPoint }) => mountPoint.length));
  return above.findLast(({ mountPoint }) => mountPoint.length === nearest);
}

function parseOptions(options: string): Map<string, string> {
  const pairs = options.split(',').map((option): [string, string] => {
    const at = option.indexOf('=');
    return at < 0 ? [option, ''] : [option.slice(0, at), unescape(option.slice(at + 1))];
  });
  return new Map(pairs);
}

/** Space, tab, newline and backslash are written as octal numbers. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
