import {
  declarationFor,
  secretsOf,
  type ActionDeclaration,
} from '../../proto/actions/declaration.ts';
import { orderClass } from '../../proto/documents/coverage.ts';
import { DocumentError, openDocument } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { ENVELOPE_MAX_BYTES } from '../../proto/documents/dsse.ts';
import { uuidV7 } from '../../proto/documents/fields.ts';
import type { ActionClass, JsonValue } from '../../proto/documents/fields.ts';
import { judgedOrder } from '../../proto/documents/judged-order.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Policy } from '../../proto/documents/kinds/policy.ts';
import type { RefusalReason } from '../../proto/documents/reasons.ts';
import type { Delivery } from '../connection/courier.ts';
import { openAuthorization, requireCovered, requireEngineersNamed } from './authorization.ts';
import type { Authorization } from './authorization.ts';
import { CertifiedPeople, SKEW_SECONDS } from './certified-people.ts';
import type { CertifiedPerson } from './certified-people.ts';
import { requireGivenSecrets } from './given-secrets.ts';
import type { GivenSecret } from './given-secrets.ts';
import { requireExpectedMachine, requireIdentified } from './identity-check.ts';
import { requirePlan, requireUndoAccepted } from './plan-check.ts';
import { requireEnoughEngineers, requirePolicyAllows } from './policy-check.ts';
import type { TrustState } from './trust-state.ts';

/** An order that passed every check but the ledger's: all that is needed to carry it out. */
export interface VerifiedOrder {
  order: Order;
  orderDigest: string;
  authorization: Authorization;
  action: ActionDeclaration;
  actionClass: ActionClass;
  /** As the action's schema reads them. */
  parameters: Record<string, JsonValue>;
  /** Who signed the order. */
  engineers: CertifiedPerson[];
  /** For mode apply of an action that plans. */
  plan: VerifiedDocument<'plan'> | null;
  /** What the client gave for this, by input. */
  given: ReadonlyMap<string, GivenSecret>;
  policy: Policy;
  policyDigest: string;
}

export interface Refusal {
  reason: RefusalReason;
  detail: string;
}

export type Verification =
  | { accepted: true; order: VerifiedOrder }
  | ({ accepted: false } & Refusal);

/**
 * Judges a delivery offline, by what is pinned here and nothing else, and stops at the first check that
 * fails. The order of the checks is that of `proto/documents/reasons.ts`. Opening sealed inputs, and the nonce,
 * are left to the caller: see `AgentTrust.admit`.
 */
export function verifyDelivery(delivery: Delivery, state: TrustState): Verification {
  try {
    return { accepted: true, order: verify(delivery, state) };
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return { accepted: false, reason: error.reason, detail: error.message };
  }
}

function verify(delivery: Delivery, state: TrustState): VerifiedOrder {
  if (state.locked) throw new DocumentError('locked', 'this server is locked by local root');
  requireSizes(delivery);
  const people = CertifiedPeople.open(delivery.certifications, state.root);
  const opened = openDocument('order', delivery.order, people.keys);
  const order = opened.payload;
  requireAddressee(delivery, order, state);
  requireExpectedMachine(order, state);
  requireTime(order, state);
  const engineers = opened.signers.map((key) =>
    people.certify(key, state.time.now, state.isRevoked),
  );
  const action = requireAction(order, state);
  const actionClass = orderClass(action, order.mode);
  requireKeysFor(actionClass, engineers);
  requireIdentified(order, actionClass, state);

  const authorization = openAuthorization(delivery, order, people, engineers, state);
  const judged = judgedOrder(order, findKnown(state));
  requireCovered(authorization, judged, judged === order ? action : requireAction(judged, state));
  requireEngineersNamed(authorization, engineers);
  const { policy, digest } = requirePolicyAllows(state.policy, judged.action, actionClass);
  requireEnoughEngineers(policy, authorization, actionClass, engineers);

  const parameters = requireParameters(order, action);
  const plan = requirePlan(delivery, order, action, parameters, state.self);
  requireUndoAccepted(plan, order, action, authorization, policy);
  requireTargetSupported(order, action);
  requireInputNames(order, action);
  const given = requireGivenSecrets(delivery, order, authorization, state);
  return {
    order,
    orderDigest: opened.digest,
    authorization,
    action,
    actionClass,
    parameters,
    engineers,
    plan,
    given,
    policy,
    policyDigest: digest,
  };
}

function findKnown({ findUndoable }: TrustState): (job: string) => Order | undefined {
  return (job) => (uuidV7.safeParse(job).success ? findUndoable(job) : undefined);
}

function requireSizes(delivery: Delivery): void {
  const documents = [
    delivery.order,
    delivery.authorization,
    delivery.plan,
    ...delivery.certifications,
    ...delivery.given.map(({ document }) => document),
  ];
  for (const bytes of documents) {
    if (bytes !== null && bytes.byteLength > ENVELOPE_MAX_BYTES) {
      throw new DocumentError('document_too_large', `a document of ${bytes.byteLength} bytes`);
    }
  }
}

function requireAddressee(delivery: Delivery, order: Order, { self }: TrustState): void {
  if (order.job !== delivery.job) {
    throw new DocumentError('payload_malformed', `the order of job ${order.job} came as another`);
  }
  if (order.server !== self.server) {
    throw new DocumentError('wrong_server', `the order is for server ${order.server}`);
  }
  if (order.agentKey !== keyFingerprint(self.key)) {
    throw new DocumentError('wrong_agent', `the order is for the agent with ${order.agentKey}`);
  }
}

function requireTime(order: Order, { time }: TrustState): void {
  if (time.jumped) {
    throw new DocumentError(
      'clock_jumped',
      'the clock is over 24 hours ahead of what was last seen; local root must accept the time',
    );
  }
  if (time.now < order.issuedAt - SKEW_SECONDS) {
    throw new DocumentError(
      'order_not_yet_valid',
      `the order was issued ${order.issuedAt - time.now} s from now, by this server's clock`,
    );
  }
  if (time.now >= order.startBefore) {
    throw new DocumentError(
      'order_expired',
      `the order had to start ${time.now - order.startBefore} s ago, by this server's clock`,
    );
  }
}

function requireAction(order: Order, state: TrustState): ActionDeclaration {
  const action = state.findAction(order.action);
  if (action === undefined) {
    throw new DocumentError('action_unknown', `this agent has no action ${order.action}`);
  }
  if (action.version !== order.actionVersion) {
    throw new DocumentError(
      'action_version_unknown',
      `this agent has version ${action.version} of ${order.action}, not ${order.actionVersion}`,
    );
  }
  const isSupported = {
    plan: action.plans,
    apply: true,
    undo: declarationFor(action, order.target).undo === 'yes',
  };
  if (!isSupported[order.mode]) {
    throw new DocumentError('mode_not_supported', `${order.action} has no mode ${order.mode}`);
  }
  return action;
}

/** A passkey is used on pages of the control plane, which could have shown something else. */
function requireKeysFor(actionClass: ActionClass, engineers: readonly CertifiedPerson[]): void {
  const passkey = engineers.find(({ key }) => key.type === 'passkey');
  if (actionClass !== 'A' && passkey !== undefined) {
    throw new DocumentError(
      'type_not_allowed_for_key',
      `${passkey.name} signed an order of class ${actionClass} with a passkey`,
    );
  }
}

function requireParameters(order: Order, action: ActionDeclaration): Record<string, JsonValue> {
  const parsed = action.parameters.safeParse(order.parameters);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const where = issue?.path.join('.') || 'parameters';
    throw new DocumentError('parameters_invalid', `${where}: ${issue?.message ?? 'invalid'}`);
  }
  return parsed.data as Record<string, JsonValue>;
}

function requireTargetSupported({ target }: Order, { id, offline }: ActionDeclaration): void {
  if (target === null || offline !== undefined) return;
  throw new DocumentError(
    'mode_not_supported',
    `${id} works on the running system only, not on one found on disks`,
  );
}

function requireInputNames(order: Order, action: ActionDeclaration): void {
  const known = secretsOf(action, order.target);
  const unknown = Object.keys(order.sealedInputs).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new DocumentError(
      'sealed_input_unreadable',
      `${order.action} takes no secret ${JSON.stringify(unknown)}`,
    );
  }
}
