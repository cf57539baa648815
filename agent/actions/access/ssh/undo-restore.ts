import type { RestoreSshResult } from '../../../../proto/actions/access.ts';
import type { ActionContext, ActionResult } from '../../../runner/action.ts';
import { findSavedBackups } from '../../files/saved-backups.ts';
import { withRepairTarget } from '../../files/repair-target.ts';
import { undoChanges } from '../../files/put-back.ts';
import { putDaemonBack } from './daemon-state.ts';

/** Puts back everything that a restore changed, with what had kept people out. */
export function undoRestore(context: ActionContext): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const detail = await undoChanges(context, target);
    const folder = await findSavedBackups(context.undone);
    if (folder !== null) await putDaemonBack(context, target, folder);
    context.note(detail);
    const result: RestoreSshResult = {
      outcome: 'restored',
      files: [],
      newHostKeys: [],
      left: [],
      answersAt: null,
      detail,
    };
    return { succeeded: true, reason: null, exitStatus: null, result };
  });
}
