import type { ActionDeclaration } from '../actions/declaration.ts';
import type { Order } from './kinds/order.ts';
import type { Plan } from './kinds/plan.ts';

/**
 * What an order would do that nothing can take back: a step of the plan it applies, or the whole of an action
 * that changes the server and makes no plan. Undefined where all can be undone. It runs only under an
 * authorization with `acceptsStepsWithoutUndo`.
 *
 * @param plan the one the order applies, if any
 */
export function findWithoutUndo(
  plan: Pick<Plan, 'steps'> | null,
  order: Pick<Order, 'mode'>,
  action: Pick<ActionDeclaration, 'id' | 'changes' | 'plans'>,
): string | undefined {
  if (order.mode !== 'apply') return undefined;
  if (plan !== null) {
    const step = plan.steps.find(({ undo }) => !undo.possible);
    return step && `step ${step.id}`;
  }
  return action.changes && !action.plans ? action.id : undefined;
}
