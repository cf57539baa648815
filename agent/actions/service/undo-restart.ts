import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  serviceRestartParameters,
  type ServiceRestartResult,
} from '../../../proto/actions/service.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { findSavedBackups } from '../files/saved-backups.ts';
import { RUN_STATE_FILE, runStateSchema, type RunState } from './run-state.ts';
import { systemctl } from './systemctl.ts';
import { isUp, readUnit, readUnits, standingText, type Unit } from './unit.ts';

const undoStep = {
  id: 'undo-restart',
  description: 'Bring back which of the units run',
  interrupt: 'finish',
} as const;

/** Brings back what can be: that a unit runs which ran before, and that one does not which did not. */
export async function undoRestart(context: ActionContext): Promise<ActionResult> {
  const { unit: name } = serviceRestartParameters.parse(context.spec.parameters);
  const folder = await findSavedBackups(context.undone);
  const before = await readUnit(context, name);
  if (folder === null) {
    return resultOf(context, before, before, 'Nothing had been restarted: nothing to bring back.');
  }
  const state = runStateSchema.parse(
    JSON.parse(await readFile(join(folder, RUN_STATE_FILE), 'utf8')) as unknown,
  );
  await context.step(undoStep, async (confirm) => {
    await confirm([]);
    await bringBack(context, state);
  });
  const after = await readUnit(context, name);
  if (isUp(after.standing) !== state.wasUp) {
    throw new ActionError(
      'undo_incomplete',
      `${name} is ${standingText(after.standing)}, not as before the restart`,
    );
  }
  const detail = state.wasUp
    ? `${name} is ${standingText(after.standing)}, as it was. What its processes held in memory is gone.`
    : `${name} is stopped again, as it was.`;
  return resultOf(context, before, after, detail);
}

async function bringBack(context: ActionContext, state: RunState): Promise<void> {
  const names = [state.unit, ...state.others];
  const units = await readUnits(context, names);
  const down = names.filter((_, at) => !isUp(units[at]!.standing));
  if (!state.wasUp) {
    if (!down.includes(state.unit)) await systemctl(context, ['stop', state.unit]);
    return;
  }
  // By name, so that one that cannot start does not keep the others down.
  for (const unit of down) await systemctl(context, ['start', unit]);
}

function resultOf(context: ActionContext, before: Unit, after: Unit, detail: string): ActionResult {
  context.note(detail);
  const result: ServiceRestartResult = {
    outcome: 'restored',
    unit: after.id,
    before: before.standing,
    after: after.standing,
    affected: [],
    check: null,
    because: null,
    journal: [],
    detail,
  };
  return { succeeded: true, reason: null, exitStatus: null, result };
}
