import { rmSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { kept } from './kept.ts';
import { run } from './process.ts';

/** Debian 12, and 13. */
export type DebianRelease = 'bookworm' | 'trixie';

/** Packages of every tree: a small server with systemd, and what the agent needs. */
const PACKAGES = [
  'apt',
  'bubblewrap',
  'ca-certificates',
  'curl',
  'dbus',
  'e2fsprogs',
  'iproute2',
  'nftables',
  'nginx-light',
  'openssh-server',
  'procps',
  'systemd',
  'systemd-sysv',
];

/**
 * A Debian tree with these packages besides the usual ones, built once by mmdebstrap and kept. Whoever
 * uses it must not change it: boot it with `bootDebian`, or copy it. Needs root and a Debian mirror.
 */
export async function debianTree(
  packages: readonly string[] = [],
  release: DebianRelease = 'bookworm',
): Promise<string> {
  const all = [...new Set([...PACKAGES, ...packages])].toSorted();
  return kept(release, all, async (draft) => {
    await mmdebstrap([`--include=${all.join(',')}`], draft, release);
    // Each boot gets an identity and a name of its own.
    truncateSync(path.join(draft, 'etc/machine-id'));
    rmSync(path.join(draft, 'etc/hostname'));
  });
}

/** A minimal Debian and what the options add, at a place where nothing is. */
export async function mmdebstrap(
  options: readonly string[],
  place: string,
  release: DebianRelease = 'bookworm',
): Promise<void> {
  const argv = ['mmdebstrap', '--quiet', '--variant=minbase', ...options, release, place];
  const built = await run(argv, { timeoutMs: 900_000 });
  if (built.status === 0) return;
  rmSync(place, { recursive: true, force: true });
  throw new Error(`mmdebstrap ended with ${built.status}:\n${built.stderr.slice(-4000)}`);
}
