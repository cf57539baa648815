import { setTimeout as sleep } from 'node:timers/promises';
import type { ActionContext } from '../../runner/action.ts';
import { readUnit, type Unit } from './unit.ts';

const LOOK_EVERY_MS = 250;
/** A unit that is still starting when its start is over is waited for this much longer. */
const STARTING_MS = 30_000;

/**
 * Looks at a unit until it has stayed up for `stayMs`, or is down, or begins again by itself. `systemctl
 * restart` is content with a service of type simple as soon as there is a process.
 */
export async function watchUnit(
  context: Pick<ActionContext, 'run' | 'signal'>,
  name: string,
  stayMs: number,
): Promise<Unit> {
  const begun = Date.now();
  let first: Unit | null = null;
  for (;;) {
    const unit = await readUnit(context, name);
    const { active, sub, restarts } = unit.standing;
    first ??= unit;
    const isStarting = active === 'activating' && sub !== 'auto-restart';
    const hasBegunAgain = sub === 'auto-restart' || restarts > first.standing.restarts;
    const isUp = active === 'active' || active === 'reloading';
    const over = Date.now() - begun;
    if (hasBegunAgain || (!isUp && !isStarting)) return unit;
    if (over >= (isStarting ? Math.max(stayMs, STARTING_MS) : stayMs)) return unit;
    await sleep(LOOK_EVERY_MS, undefined, { signal: context.signal });
  }
}
