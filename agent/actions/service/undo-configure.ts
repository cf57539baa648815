import type { ServiceConfigureResult } from '../../../proto/actions/service.ts';
import type { ActionContext, ActionResult } from '../../runner/action.ts';
import { findSavedBackups } from '../files/saved-backups.ts';
import { readWishes } from './configure-wishes.ts';
import { putBack } from './put-back.ts';
import { readUnit } from './unit.ts';

const undoStep = {
  id: 'undo-configure',
  description: 'Put back the links and the drop-in as they were',
  interrupt: 'finish',
} as const;

/** Takes back how a unit was set up, also where the job was cut off; may itself be cut off and begun again. */
export async function undoConfigure(context: ActionContext): Promise<ActionResult> {
  const { unit } = readWishes(context);
  const folder = await findSavedBackups(context.undone);
  const before = await readUnit(context, unit);
  if (folder !== null) {
    await context.step(undoStep, async (confirm) => {
      await confirm([]);
      await putBack(context, before, folder);
    });
  }
  const after = folder === null ? before : await readUnit(context, unit);
  const detail =
    folder === null
      ? 'Nothing to undo: the job changed nothing, or has put everything back by itself.'
      : `${after.id} is set up as before: ${after.standing.enablement || after.standing.load}.`;
  context.note(detail);
  const result: ServiceConfigureResult = {
    outcome: 'restored',
    unit: after.id,
    before: before.standing,
    after: after.standing,
    files: [],
    detail,
  };
  return { succeeded: true, reason: null, exitStatus: null, result };
}
