import { link, lstat, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';

/** Asked by invoke-rc.d(8) and deb-systemd-invoke(1p) before a package touches a service. */
export const POLICY_FILE = '/usr/sbin/policy-rc.d';
const BEFORE = `${POLICY_FILE}.before-intervene`;
const MARK = '# Intervene: holds services back during one job.';
const LOCK_FILE = 'holding';

/**
 * Holds services back while one command runs: a policy of the server's own is still asked for everything
 * else. The policy holds only while flock(1) runs that command. However the job dies, what is left of it
 * allows what it allowed before, and takes itself away at its first use.
 */
export class ServiceHold {
  private readonly lock: string;

  private constructor(lock: string) {
    this.lock = lock;
  }

  static async begin(services: readonly string[], folder: string): Promise<ServiceHold> {
    const hold = new ServiceHold(join(folder, LOCK_FILE));
    await writeFile(hold.lock, '', { mode: 0o600 });
    const draft = `${POLICY_FILE}.intervene-new`;
    await writeFile(draft, policyText(services, hold.lock), { mode: 0o755 });
    if (await isThere(POLICY_FILE)) await link(POLICY_FILE, BEFORE);
    await rename(draft, POLICY_FILE);
    return hold;
  }

  /** The command to run instead, so that the policy holds while it does. */
  around(argv: readonly string[]): string[] {
    return holdingArgv(this.lock, argv);
  }

  async end(): Promise<void> {
    await removePolicy();
  }
}

export function holdingArgv(lock: string, argv: readonly string[]): string[] {
  return ['flock', '--exclusive', '--close', lock, ...argv];
}

/** Removes what a job that died has left; jobs that change the server run one at a time. */
export async function clearLeftHold(context: Pick<ActionContext, 'note'>): Promise<void> {
  await rm(`${POLICY_FILE}.intervene-new`, { force: true });
  const text = await readFile(POLICY_FILE, 'utf8').catch(() => '');
  if (!text.includes(MARK)) {
    await rm(BEFORE, { force: true });
    return;
  }
  await removePolicy();
  context.note(`Removed ${POLICY_FILE}, which an interrupted job had left behind.`);
}

async function removePolicy(): Promise<void> {
  if (await isThere(BEFORE)) await rename(BEFORE, POLICY_FILE);
  else await rm(POLICY_FILE, { force: true });
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

/** The policy as dpkg's helpers run it. Names and path hold nothing that a shell would read as more. */
export function policyText(services: readonly string[], lock: string): string {
  const names = services.map((service) => `'${service.replace(/\.service$/, '')}'`);
  return [
    '#!/bin/sh',
    MARK,
    '# It holds only while the job lives, and removes itself afterwards.',
    `lock='${lock}'`,
    `before=${BEFORE}`,
    'if [ ! -e "$lock" ] || flock --shared --nonblock "$lock" true; then',
    '  if [ -e "$before" ]; then mv -f "$before" "$0"; exec "$0" "$@"; fi',
    '  rm -f "$0"',
    '  exit 104',
    'fi',
    'case "${1%.service}" in',
    `  ${names.join('|')}) exit 101 ;;`,
    'esac',
    'if [ -x "$before" ]; then exec "$before" "$@"; fi',
    'exit 104',
    '',
  ].join('\n');
}
