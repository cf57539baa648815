import { packagesInstallParameters } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { applyChange } from './apply-change.ts';
import { changeTargetSchema } from './change-plan.ts';
import { packagesResult } from './package-outcome.ts';
import { requireUnchanged } from './stale-plan.ts';

/** Carries out a plan of `planInstall`. A plan without steps changes nothing. */
export async function applyInstall(
  context: ActionContext,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'an installation needs a plan');
  const { holdServices = [] } = packagesInstallParameters.parse(context.spec.parameters);
  const target = changeTargetSchema.parse(plan.target);
  if (plan.steps.length > 0) {
    return applyChange(context, plan, target, holdServices, 'installed');
  }
  await requireUnchanged(plan);
  const detail = 'Nothing to do: the packages are as the plan has found them.';
  context.note(detail);
  const result = packagesResult({ outcome: 'nothing_to_do', detail });
  return { succeeded: true, reason: null, exitStatus: null, result };
}
