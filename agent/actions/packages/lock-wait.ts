import { setTimeout as sleep } from 'node:timers/promises';
import { ActionError, type ActionContext } from '../../runner/action.ts';

/** How long another program that changes packages is waited for. */
export const LOCK_WAIT_SECONDS = 60;
const LOOK_EVERY_MS = 2_000;
const DPKG_LOCKS = ['/var/lib/dpkg/lock-frontend', '/var/lib/dpkg/lock'];
const LSLOCKS = ['lslocks', '--noheadings', '--notruncate', '--raw', '--output=COMMAND,PID,PATH'];
/** A job sees no process but its own; systemd looks from outside. */
const OUTSIDE = ['systemd-run', '--quiet', '--collect', '--wait', '--pipe'];
const OUTSIDE_LIMITS = ['--property=RuntimeMaxSec=10', '--property=PrivateNetwork=yes', '--'];

/** Returns when nobody holds these locks. Throws ActionError `packages_locked`, naming who does. */
export async function awaitPackageLocks(
  context: ActionContext,
  locks: readonly string[] = DPKG_LOCKS,
): Promise<void> {
  const end = performance.now() + LOCK_WAIT_SECONDS * 1000;
  let told: string | null = null;
  for (;;) {
    const holder = await lockHolder(context, locks);
    if (holder === null) return;
    if (holder !== told) context.note(`Waiting for ${holder}, which is changing packages.`);
    told = holder;
    context.progress('waiting', null, `for ${holder}`);
    if (performance.now() >= end) throw locked(holder);
    await sleep(LOOK_EVERY_MS, undefined, { signal: context.signal });
  }
}

function locked(holder: string): ActionError {
  return new ActionError(
    'packages_locked',
    `${holder} has been changing packages for ${LOCK_WAIT_SECONDS} s. Nothing was changed: order it again when that has ended.`,
  );
}

async function lockHolder(
  context: ActionContext,
  locks: readonly string[],
): Promise<string | null> {
  const options = { output: 'capture', timeoutMs: 20_000 } as const;
  for (const argv of [[...OUTSIDE, ...OUTSIDE_LIMITS, ...LSLOCKS], LSLOCKS]) {
    const done = await context.run(argv, options).catch(() => null);
    if (done?.exitStatus === 0) return readHolder(done.out, locks);
  }
  // Without either program the package manager itself says that somebody holds the lock.
  return null;
}

/** `apt-get (process 312)`; null when nobody holds the locks. */
export function readHolder(text: string, locks: readonly string[] = DPKG_LOCKS): string | null {
  for (const line of text.split('\n')) {
    const [, command, pid, path] = /^(\S+) (\d+) (\S+)$/.exec(line.trim()) ?? [];
    if (path === undefined || !locks.includes(path)) continue;
    return `${command} (process ${pid})`;
  }
  return null;
}
