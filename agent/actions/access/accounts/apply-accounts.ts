import {
  repairAccountsParameters,
  type RepairAccountsResult,
} from '../../../../proto/actions/access.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import { applyChangeSteps, planChangeSteps } from '../../files/change-steps.ts';
import { makeBackupFolder } from '../../filesystem/backup-place.ts';
import { withRepairTarget } from '../../files/repair-target.ts';
import { putBackUnlessStopped, undoChanges } from '../../files/put-back.ts';
import { requireSamePlan } from '../../same-plan.ts';
import { findAccountRepairs } from './account-repairs.ts';
import { accountsPlan, accountsVerify } from './plan-accounts.ts';

/** Carries out a plan of `planAccounts`; what does not hold afterwards is put back at once. */
export function applyAccounts(context: ActionContext, plan: Plan | null): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const parameters = repairAccountsParameters.parse(context.spec.parameters);
    const repairs = await findAccountRepairs(context, target, parameters);
    const { body, planned } = await accountsPlan(context, target, repairs);
    const { preconditions } = requireSamePlan(plan, body);
    const result: RepairAccountsResult = {
      outcome: 'nothing_to_do',
      files: [],
      left: repairs.left.map((text) => text.slice(0, 500)).slice(0, 50),
      detail: body.summary,
    };
    if (planned.steps.length === 0) return ended(context, result, null);
    const folder = await makeBackupFolder(context);
    try {
      await applyChangeSteps(context, planned, preconditions, folder);
      await context.step(accountsVerify, async (confirm) => {
        await confirm([]);
        const again = await findAccountRepairs(context, target, parameters);
        const done = new Set(planned.steps.map(({ step }) => step.id));
        // What could not be judged before belongs to another job.
        const own = again.steps.filter(({ id }) => done.has(id));
        const { steps } = await planChangeSteps(context, target.root, own);
        if (steps.length === 0) return;
        throw new ActionError('verify_failed', `not all is mended: ${again.findings.join(' ')}`);
      });
    } catch (error) {
      const { detail, reason } = await putBackUnlessStopped(context, target, folder, error);
      return ended(context, { ...result, outcome: 'rolled_back', detail }, reason);
    }
    const files = planned.steps.flatMap(({ changes }) => changes.map(({ path }) => path));
    const isWhole = repairs.left.length === 0;
    const done = `Mended: ${files.slice(0, 20).join(', ')}.`;
    return ended(
      context,
      {
        ...result,
        outcome: isWhole ? 'repaired' : 'incomplete',
        files,
        detail: isWhole ? done : `${done} Left: ${repairs.left.join(' ')}`,
      },
      isWhole ? null : 'decision_needed',
    );
  });
}

/** Puts back everything that such a repair changed. */
export function undoAccounts(context: ActionContext): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const detail = await undoChanges(context, target);
    return ended(context, { outcome: 'restored', files: [], left: [], detail }, null);
  });
}

function ended(
  context: ActionContext,
  result: RepairAccountsResult,
  reason: string | null,
): ActionResult {
  context.note(result.detail);
  return {
    succeeded: reason === null,
    reason,
    exitStatus: null,
    result: { ...result, detail: result.detail.slice(0, 2000) },
  };
}
