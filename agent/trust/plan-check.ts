import { isDeepStrictEqual } from 'node:util';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { digestOf, DocumentError, openDocument } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import type { Policy } from '../../proto/documents/kinds/policy.ts';
import { findWithoutUndo } from '../../proto/documents/undo-acceptance.ts';
import type { Delivery } from '../connection/courier.ts';
import type { Authorization } from './authorization.ts';
import type { AgentSelf } from './trust-state.ts';

/**
 * The plan an apply order carries out: one that this agent made and signed, for exactly this. Null where
 * there is nothing to plan.
 */
export function requirePlan(
  delivery: Delivery,
  order: Order,
  action: ActionDeclaration,
  parameters: Record<string, JsonValue>,
  self: AgentSelf,
): VerifiedDocument<'plan'> | null {
  if (order.mode !== 'apply' || !action.plans) {
    if (order.plan === null) return null;
    throw new DocumentError('plan_mismatch', `${order.mode} of ${order.action} takes no plan`);
  }
  if (order.plan === null || delivery.plan === null) {
    throw new DocumentError('plan_missing', `${order.action} is applied by the plan it made`);
  }
  const plan = openOwnPlan(delivery.plan, order.plan, self);
  const difference = findDifference(plan.payload, order, action, parameters);
  if (difference !== undefined) {
    throw new DocumentError('plan_mismatch', `the plan is for another ${difference}`);
  }
  return plan;
}

function openOwnPlan(bytes: Uint8Array, digest: string, self: AgentSelf): VerifiedDocument<'plan'> {
  try {
    if (digestOf(bytes) === digest) return openDocument('plan', bytes, [self.key]);
  } catch (error) {
    throw new DocumentError(
      'plan_mismatch',
      `not a plan of this agent: ${(error as Error).message}`,
    );
  }
  throw new DocumentError('plan_mismatch', 'the order names another plan than the one that came');
}

function findDifference(
  plan: Plan,
  order: Order,
  action: ActionDeclaration,
  parameters: Record<string, JsonValue>,
): string | undefined {
  if (plan.server !== order.server) return 'server';
  if (plan.action !== order.action) return 'action';
  if (plan.actionVersion !== order.actionVersion) return 'version of the action';
  const planned = action.parameters.safeParse(plan.parameters);
  if (!planned.success || !isDeepStrictEqual(planned.data, parameters)) return 'set of parameters';
  return isDeepStrictEqual(plan.target['offline'] ?? null, order.target) ? undefined : 'target';
}

/**
 * What nothing can take back runs only where client and local administrator accept such: a step of the plan,
 * or the whole of an action that changes the server and makes no plan.
 */
export function requireUndoAccepted(
  plan: VerifiedDocument<'plan'> | null,
  order: Order,
  action: ActionDeclaration,
  authorization: Authorization,
  policy: Policy,
): void {
  const what = findWithoutUndo(plan?.payload ?? null, order, action);
  if (what === undefined) return;
  if (!authorization.payload.acceptsStepsWithoutUndo) {
    throw new DocumentError(
      'steps_without_undo_not_accepted',
      `${what} cannot be undone, and the authorization does not accept that`,
    );
  }
  if (!policy['allow-steps-without-undo']) {
    throw new DocumentError(
      'policy_denied',
      `${what} cannot be undone, and the local policy does not allow that`,
    );
  }
}
