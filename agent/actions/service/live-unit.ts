import { ActionError, type ActionContext } from '../../runner/action.ts';
import { requireOrdinary } from './protected-unit.ts';
import { readUnit, type Unit } from './unit.ts';

/** The unit of an order, on a system that runs. Throws ActionError where there is none to work on. */
export async function liveUnit(
  context: Pick<ActionContext, 'run' | 'spec'>,
  name: string,
): Promise<Unit> {
  requireRunningSystem(context);
  return readUnit(context, name);
}

/** In a rescue system the services are those of the rescue system. */
function requireRunningSystem({ spec }: Pick<ActionContext, 'spec'>): void {
  if (spec.agentMode === 'resident') return;
  throw new ActionError(
    'target_not_running',
    "this is a rescue system: the client's services do not run here; boot the server first",
  );
}

/** Throws ActionError unless the unit is one that jobs may change, under its own name. */
export function requireChangeable(unit: Unit, name: string): void {
  requireOrdinary(unit);
  if (unit.id === name) return;
  throw new ActionError('unit_is_alias', `${name} is another name of ${unit.id}: name that`);
}
