import { isDeepStrictEqual } from 'node:util';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError } from '../../runner/action.ts';
import type { ChangeTarget } from './change-plan.ts';
import { packagePreconditions } from './installed-packages.ts';
import type { Precondition } from './preconditions.ts';

/** The plan was made for another state than there is now: it must be made anew. */
export function stalePlan(what: string): ActionError {
  const message = `the packages of the server have changed since this was planned: ${what}. Nothing was changed: plan it again.`;
  return new ActionError('changed_since_plan', message);
}

/** Throws when anything a plan rests on is not as it was. */
export async function requireUnchanged(
  plan: Plan,
  look: () => Promise<Precondition[]> = packagePreconditions,
): Promise<void> {
  const now = await look();
  for (const { what, digest } of plan.preconditions) {
    if (now.find((entry) => entry.what === what)?.digest !== digest) throw stalePlan(what);
  }
}

/** Throws when apt would now install anything else than what was planned. */
export function requireSameChange(planned: ChangeTarget, now: ChangeTarget): void {
  if (!isDeepStrictEqual(now.packages, planned.packages)) {
    throw stalePlan('the sources give other packages');
  }
  if (!isDeepStrictEqual(now.configured, planned.configured)) {
    throw stalePlan('other packages are unfinished');
  }
  if (!isDeepStrictEqual(now.withoutUndo, planned.withoutUndo)) {
    throw stalePlan('other packages cannot be put back');
  }
}
