import { authorizationName } from '../../proto/documents/authorization-name.ts';
import { isDeepStrictEqual } from 'node:util';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { coversOrder } from '../../proto/documents/coverage.ts';
import {
  digestOf,
  DocumentError,
  openDocument,
  readKind,
  readUnverified,
} from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Delivery } from '../connection/courier.ts';
import { SKEW_SECONDS } from './certified-people.ts';
import type { CertifiedPeople, CertifiedPerson } from './certified-people.ts';
import type { TrustState } from './trust-state.ts';

export type Authorization = VerifiedDocument<'grant'> | VerifiedDocument<'attestation'>;

/**
 * Opens the grant or attestation an order rests on and judges everything about it but what it covers:
 * that it is the one the order names, who signed it, when it holds, and whether it was taken back.
 */
export function openAuthorization(
  delivery: Delivery,
  order: Order,
  people: CertifiedPeople,
  engineers: readonly CertifiedPerson[],
  state: TrustState,
): Authorization {
  if (order.mode === 'undo') requireUndoable(order, state);
  if (order.authorization === null || delivery.authorization === null) {
    throw new DocumentError('grant_missing', 'no authorization came with the order');
  }
  if (digestOf(delivery.authorization) !== order.authorization) {
    throw new DocumentError('grant_mismatch', 'the order names another authorization');
  }
  const authorization = open(delivery.authorization, order, people, engineers, state);
  if (authorization.payload.account !== state.self.account) {
    throw new DocumentError('grant_mismatch', 'the authorization is of another account');
  }
  // What an apply order was allowed to change may be put back whenever an engineer orders it.
  if (order.mode !== 'undo') requireInForce(authorization, state);
  return authorization;
}

function open(
  bytes: Uint8Array,
  order: Order,
  people: CertifiedPeople,
  engineers: readonly CertifiedPerson[],
  state: TrustState,
): Authorization {
  const isAttestation = readKind(bytes) === 'attestation';
  if (order.mode === 'undo') {
    return isAttestation
      ? openSettledAttestation(bytes, people, engineers)
      : openSettled('grant', bytes);
  }
  return isAttestation
    ? openAttestation(bytes, people, engineers, state)
    : openOfAccount('grant', bytes, state);
}

/**
 * The authorization of a job that was carried out: this agent verified it then, and its digest is the one
 * that the accepted order named. Who signed it may have been replaced since.
 */
function openSettled<K extends 'grant' | 'attestation'>(
  kind: K,
  bytes: Uint8Array,
): VerifiedDocument<K> {
  const { payload, digest, envelope } = readUnverified(kind, bytes);
  return { kind, payload, payloadBytes: envelope.payload, digest, signers: [] };
}

function openSettledAttestation(
  bytes: Uint8Array,
  people: CertifiedPeople,
  engineers: readonly CertifiedPerson[],
): Authorization {
  for (const fingerprint of readUnverified('attestation', bytes).keyids) {
    requireOthers(engineers, fingerprint, people.personOf(fingerprint));
  }
  return openSettled('attestation', bytes);
}

/** Opens what the client signed with signing keys of the account; the recovery key signs none of it. */
export function openOfAccount<K extends 'grant' | 'credential'>(
  kind: K,
  bytes: Uint8Array,
  state: TrustState,
): VerifiedDocument<K> {
  const entries = state.accountKeys?.payload.keys ?? [];
  const keys = entries.map(({ key }) => key);
  const document = openDocument(kind, bytes, keys);
  const recovery = entries.filter(({ use }) => use === 'recovery').map(({ key }) => key.public);
  const wrong = document.signers.find((key) => recovery.includes(key.public));
  if (wrong !== undefined) {
    throw new DocumentError(
      'type_not_allowed_for_key',
      `the recovery key ${keyFingerprint(wrong)} signs no ${kind}`,
    );
  }
  return document;
}

function openAttestation(
  bytes: Uint8Array,
  people: CertifiedPeople,
  engineers: readonly CertifiedPerson[],
  state: TrustState,
): Authorization {
  if (state.self.mode !== 'rescue') {
    throw new DocumentError(
      'attestation_not_allowed',
      'on a server whose owner opted in, only the owner authorizes',
    );
  }
  const keys: PublicKey[] = people.keys.filter((key) => key.type === 'ed25519');
  const attestation = openDocument('attestation', bytes, keys);
  for (const key of attestation.signers) {
    const attester = people.certify(key, state.time.now, state.isRevoked);
    requireOthers(engineers, attester.fingerprint, attester.person);
  }
  return attestation;
}

function requireOthers(
  engineers: readonly CertifiedPerson[],
  fingerprint: string,
  person: string | undefined,
): void {
  if (engineers.some((one) => one.fingerprint === fingerprint || one.person === person)) {
    throw new DocumentError(
      'attestation_not_allowed',
      'whoever attests an authorization does not order the work',
    );
  }
}

function requireInForce(authorization: Authorization, state: TrustState): void {
  const { id, notBefore, expiresAt } = authorization.payload;
  const { now } = state.time;
  if (now < notBefore - SKEW_SECONDS) {
    throw new DocumentError('grant_not_yet_valid', `it begins ${notBefore - now} s from now`);
  }
  if (now >= expiresAt) {
    throw new DocumentError('grant_expired', `it ended ${now - expiresAt} s ago`);
  }
  const revoked = [id, ...authorization.signers.map(keyFingerprint)].find((name) =>
    state.isRevoked(name),
  );
  if (revoked !== undefined) {
    const what = revoked === id ? authorizationName(authorization.payload) : `the key ${revoked}`;
    throw new DocumentError('revoked', `${what}, which the order rests on, is revoked`);
  }
}

/** The undo of a job rests on the very authorization of that job, and changes nothing else. */
function requireUndoable(order: Order, state: TrustState): void {
  const original = state.findUndoable(order.undoes!);
  if (original === undefined) {
    throw new DocumentError(
      'undo_not_possible',
      `no changes of job ${order.undoes} are known here`,
    );
  }
  const asIn = (it: Order) => ({
    server: it.server,
    authorization: it.authorization,
    action: it.action,
    actionVersion: it.actionVersion,
    parameters: it.parameters,
    target: it.target,
  });
  if (!isDeepStrictEqual(asIn(order), asIn(original))) {
    throw new DocumentError(
      'undo_not_possible',
      `the order says something else than that of job ${order.undoes}`,
    );
  }
}

export function requireCovered(
  authorization: Authorization,
  order: Order,
  action: ActionDeclaration,
): void {
  const coverage = coversOrder(authorization.payload, order, action);
  if (!coverage.covered) throw new DocumentError(coverage.reason, coverage.detail);
}

/** Every signature must come from somebody the authorization names, when it names any. */
export function requireEngineersNamed(
  { payload }: Authorization,
  engineers: readonly CertifiedPerson[],
): void {
  if (payload.engineers === null) return;
  const named = payload.engineers;
  const stranger = engineers.find(({ fingerprint }) => !named.includes(fingerprint));
  if (stranger !== undefined) {
    throw new DocumentError(
      'engineer_not_named',
      `the authorization does not name ${stranger.name} (${stranger.fingerprint})`,
    );
  }
}
