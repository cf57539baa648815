import {
  resetPasswordParameters,
  type ResetPasswordResult,
} from '../../../proto/actions/access.ts';
import type { ActionContext, ActionResult } from '../../runner/action.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { undoChanges } from '../files/put-back.ts';

/** Gives a user the old password back, with everything else that the job changed. */
export function undoReset(context: ActionContext): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const { user } = resetPasswordParameters.parse(context.spec.parameters);
    const detail = await undoChanges(context, target);
    context.note(detail);
    const result: ResetPasswordResult = {
      outcome: 'restored',
      user,
      method: null,
      sealedTo: null,
      key: null,
      files: [],
      detail,
    };
    return { succeeded: true, reason: null, exitStatus: null, result };
  });
}
