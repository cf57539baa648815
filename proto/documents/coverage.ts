import { isDeepStrictEqual } from 'node:util';
import type { ActionDeclaration } from '../actions/declaration.ts';
import { authorizationName } from './authorization-name.ts';
import { isClassWithin, matchesAction } from './fields.ts';
import type { ActionClass, JsonValue } from './fields.ts';
import type { Grant } from './kinds/grant.ts';
import type { Order } from './kinds/order.ts';
import type { RefusalReason } from './reasons.ts';

export type Coverage =
  | { covered: true }
  | { covered: false; reason: RefusalReason; detail: string };

/**
 * Whether a grant (or attestation, which has the same fields) covers an order: server, action,
 * parameters, class. Time, revocation, engineers and policy are judged elsewhere. The agent decides with
 * this; everything else only previews its decision.
 */
export function coversOrder(
  grant: Pick<Grant, 'id' | 'ticket' | 'servers' | 'actions' | 'highestClass' | 'expiresAt'>,
  order: Pick<Order, 'server' | 'agentKey' | 'action' | 'mode' | 'parameters'>,
  action: ActionDeclaration,
): Coverage {
  const isServerNamed = grant.servers.some(
    (entry) =>
      entry.id === order.server &&
      (entry.agentKey === undefined || entry.agentKey === order.agentKey),
  );
  if (!isServerNamed) {
    return refuse('grant_server_not_covered', `${authorizationName(grant)} is not for this server`);
  }
  const entries = grant.actions.filter((entry) => matchesAction(entry.pattern, order.action));
  if (entries.length === 0) {
    const allowed = grant.actions.map((entry) => entry.pattern).join(', ');
    return refuse(
      'grant_action_not_covered',
      `the authorization allows ${allowed}; it does not allow ${order.action}`,
    );
  }
  const actionClass = orderClass(action, order.mode);
  if (!isClassWithin(actionClass, grant.highestClass)) {
    return refuse(
      'grant_class_not_covered',
      `the authorization allows class ${grant.highestClass} at most; this is class ${actionClass}`,
    );
  }
  if (!entries.some((entry) => parametersAllowed(entry.parameters ?? {}, order, action))) {
    return refuse(
      'grant_parameter_not_covered',
      `the authorization does not allow these parameters of ${order.action}`,
    );
  }
  return { covered: true };
}

/** Planning only looks, unless it must run programs of the target. */
export function orderClass(action: ActionDeclaration, mode: Order['mode']): ActionClass {
  return mode === 'plan' ? action.planClass : action.class;
}

function parametersAllowed(
  limits: Record<string, JsonValue[]>,
  order: Pick<Order, 'parameters'>,
  action: ActionDeclaration,
): boolean {
  const withinLimits = Object.entries(limits).every(
    ([name, values]) =>
      Object.hasOwn(order.parameters, name) &&
      values.some((value) => isDeepStrictEqual(value, order.parameters[name])),
  );
  const bringsInOnlyNamed = action.bringsIn.every(
    (name) => !Object.hasOwn(order.parameters, name) || Object.hasOwn(limits, name),
  );
  return withinLimits && bringsInOnlyNamed;
}

function refuse(reason: RefusalReason, detail: string): Coverage {
  return { covered: false, reason, detail };
}
