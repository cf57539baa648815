import type { JsonValue } from '../../proto/documents/fields.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import { ActionError } from '../runner/action.ts';
import { canonicalJson } from '../runner/canonical-json.ts';

export type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;

/**
 * What is done is what was planned, to the letter. Throws ActionError `changed_since_plan` when looking again
 * gives another plan, and `plan_missing` without one.
 */
export function requireSamePlan(plan: Plan | null, now: PlanBody): Plan {
  if (plan === null) throw new ActionError('plan_missing', 'this needs a plan');
  const other = now.preconditions.find(
    ({ what, digest }) =>
      plan.preconditions.find((planned) => planned.what === what)?.digest !== digest,
  );
  const { target, summary, findings, preconditions, steps } = plan;
  const planned: PlanBody = { target, summary, findings, preconditions, steps };
  if (other === undefined && textOf(planned) === textOf(now)) return plan;
  throw new ActionError(
    'changed_since_plan',
    `it has changed since it was planned: ${other?.what ?? 'what is to be done'}; plan again`,
  );
}

function textOf({ target, summary, findings, preconditions, steps }: PlanBody): string {
  return canonicalJson({ target, summary, findings, preconditions, steps } as JsonValue);
}
