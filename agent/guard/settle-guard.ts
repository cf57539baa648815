import { setTimeout as sleep } from 'node:timers/promises';
import { GuardFolder } from './guard-folder.ts';
import { startGuardian } from './guardian-process.ts';

const WITHIN_MS = 90_000;
const AGAIN_MS = 5_000;
const LOOK_MS = 50;

/**
 * Has the guarded change of a job whose runner is dead put back at once, unless it was confirmed before. Resolves when
 * its guardian is done, or has not been for 90 s.
 */
export async function settleGuard(jobDirectory: string): Promise<void> {
  const guard = new GuardFolder(jobDirectory);
  await guard.armPrepared();
  if (!guard.isArmed || guard.end !== null) return;
  await guard.decide('rolled_back');
  const until = performance.now() + WITHIN_MS;
  for (let startedAt = -Infinity; guard.end === null && performance.now() < until;) {
    if (performance.now() - startedAt > AGAIN_MS) {
      startedAt = performance.now();
      startGuardian(guard);
    }
    await sleep(LOOK_MS);
  }
}
