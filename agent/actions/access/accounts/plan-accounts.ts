import { repairAccountsParameters } from '../../../../proto/actions/access.ts';
import type { PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { planChangeSteps, type PlannedSteps } from '../../files/change-steps.ts';
import { checkBackupPlace } from '../../filesystem/backup-place.ts';
import { withRepairTarget } from '../../files/repair-target.ts';
import type { PlanBody } from '../../same-plan.ts';
import { findAccountRepairs, type AccountRepairs } from './account-repairs.ts';

export const accountsVerify = {
  id: 'verify',
  description: 'Look for the same faults again; if one is left, put everything back',
  interrupt: 'finish',
} as const;

const RECORD_BYTES = 64 * 1024;

export function planAccounts(context: ActionContext): Promise<PlanBody> {
  return withRepairTarget(context, { write: false }, async (target) => {
    const parameters = repairAccountsParameters.parse(context.spec.parameters);
    const repairs = await findAccountRepairs(context, target, parameters);
    const { body, planned } = await accountsPlan(context, target, repairs);
    if (body.steps.length === 0 && repairs.left.length > 0) {
      throw new ActionError('decision_needed', repairs.left.join(' '));
    }
    await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
    return body;
  });
}

/** The plan for what was found; made again when it is carried out, it must be the same. */
export async function accountsPlan(
  context: ActionContext,
  target: Target,
  { steps, findings, left }: AccountRepairs,
): Promise<{ body: PlanBody; planned: PlannedSteps }> {
  const planned = await planChangeSteps(context, target.root, steps);
  const isNeeded = planned.steps.length > 0;
  const body: PlanBody = {
    target: target.ids,
    summary: isNeeded
      ? `${planned.steps.map(({ step }) => step.description).join('; ')}.`
      : 'Nothing to do: nothing of it keeps people from logging in.',
    findings: [...findings, ...left.map((text) => `Left: ${text}`)].map((text) =>
      text.slice(0, 500),
    ),
    preconditions: planned.preconditions,
    steps: isNeeded ? [...planned.steps.map(({ step }) => step), verifyStep()] : [],
  };
  return { body, planned };
}

function verifyStep(): PlanStep {
  return {
    ...accountsVerify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: 'The same look as for this plan finds nothing more to do.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 60,
  };
}
