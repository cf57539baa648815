import { chmod, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { TargetFiles } from '../../../target/target-files.ts';
import { findNetworkRepairs } from '../find-repairs.ts';
import type { NetworkFacts } from '../network-repair.ts';

/** The root of a system, of each test its own. */
export let root: string;

/** Gives every test of a file a system whose name servers are set up, and nothing else. */
export function useNetworkFiles(): void {
  beforeEach(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'ivw-')));
    await write('/etc/resolv.conf', 'nameserver 192.0.2.53\n');
  });
  afterEach(() => rm(root, { recursive: true, force: true }));
}

export async function write(path: string, text: string, mode = 0o644): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
}

export async function link(path: string, target: string): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await rm(file, { force: true });
  await symlink(target, file);
}

/** A service that came with its package, and starts at boot unless said otherwise. */
export async function service(name: string, isEnabled = true): Promise<void> {
  const unit = `/lib/systemd/system/${name}`;
  await write(unit, '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n');
  if (isEnabled) await link(`/etc/systemd/system/multi-user.target.wants/${name}`, unit);
}

export async function look(facts: NetworkFacts = {}, kind: 'live' | 'offline' = 'offline') {
  const { faults, changes } = await findNetworkRepairs({
    files: new TargetFiles(root),
    kind,
    facts,
  });
  return {
    rules: faults.map(({ rule, line }) => (line === null ? rule : `${rule} ${line}`)),
    whys: faults.map(({ why }) => why),
    texts: faults.map(({ text }) => text),
    changes: changes.map((change) => ({
      ...change,
      ...(change.kind === 'file' && { content: change.content?.toString() ?? '' }),
    })),
  };
}

/** The text of the only file that changes. */
export async function repaired(facts: NetworkFacts = {}): Promise<string | undefined> {
  const { changes } = await look(facts);
  expect(changes.length).toBeLessThan(2);
  const [change] = changes;
  return change?.kind === 'file' ? String(change.content) : undefined;
}

/** A stanza of ifupdown with an address of its own. */
export const STATIC = [
  '# made by hand',
  'auto lo',
  'iface lo inet loopback',
  '',
  'auto ens3',
  'iface ens3 inet static',
  '    address 192.0.2.7',
  '    netmask 255.255.255.0',
  '    gateway 192.0.2.1',
  '    up ip route add 10.0.0.0/8 via 192.0.2.9',
  '',
].join('\n');
