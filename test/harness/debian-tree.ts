import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync, truncateSync } from 'node:fs';
import path from 'node:path';
import { run } from './process.ts';

/** Where built trees are kept between test runs; removing it costs the next run half a minute. */
const CACHE = '/var/cache/intervene-tests';

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
 * A Debian 12 tree with these packages besides the usual ones, built once by mmdebstrap and kept. Whoever
 * uses it must not change it: boot it with `bootDebian`, or copy it. Needs root and a Debian mirror.
 */
export async function debianTree(packages: readonly string[] = []): Promise<string> {
  const all = [...new Set([...PACKAGES, ...packages])].toSorted();
  const key = createHash('sha256').update(all.join('\n')).digest('hex').slice(0, 16);
  const tree = path.join(CACHE, `bookworm-${key}`);
  if (existsSync(tree)) return tree;
  mkdirSync(CACHE, { recursive: true });
  const draft = `${tree}.${process.pid}`;
  const built = await run(
    ['mmdebstrap', '--quiet', '--variant=minbase', `--include=${all.join(',')}`, 'bookworm', draft],
    { timeoutMs: 600_000 },
  );
  if (built.status !== 0) {
    rmSync(draft, { recursive: true, force: true });
    throw new Error(`mmdebstrap ended with ${built.status}:\n${built.stderr.slice(-4000)}`);
  }
  // Each boot gets an identity and a name of its own.
  truncateSync(path.join(draft, 'etc/machine-id'));
  rmSync(path.join(draft, 'etc/hostname'));
  try {
    renameSync(draft, tree);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    // Another test process was quicker.
    if (!existsSync(tree)) throw error;
  }
  return tree;
}
