import { DISK_KEY } from '../../proto/actions/declaration.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { digestOf, DocumentError } from '../../proto/documents/document.ts';
import { readGivenReference } from '../../proto/documents/given-reference.ts';
import { GIVEN_SECRET_MAX_BYTES } from '../../proto/documents/given-secret.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { Credential } from '../../proto/documents/kinds/credential.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import { sealedDigest } from '../../proto/documents/sealed-output.ts';
import type { Delivery, DeliveredSecret } from '../connection/courier.ts';
import { openOfAccount } from './authorization.ts';
import type { Authorization } from './authorization.ts';
import type { TrustState } from './trust-state.ts';

/** A secret that the client signed for exactly this use; not yet opened. */
export interface GivenSecret {
  credential: Credential;
  sealed: Uint8Array;
}

/**
 * The secrets that the client gave and this order names, by input. Whoever carries them could bring another one,
 * or bring one to another place; what the client signed says where each belongs. Throws DocumentError.
 */
export function requireGivenSecrets(
  delivery: Delivery,
  order: Order,
  authorization: Authorization,
  state: TrustState,
): ReadonlyMap<string, GivenSecret> {
  const given = new Map<string, GivenSecret>();
  for (const [input, text] of Object.entries(order.sealedInputs)) {
    const digest = readGivenReference(text);
    if (digest === null) continue;
    // But the disks of the job that is undone are to be opened again.
    if (order.mode === 'undo' && input !== DISK_KEY)
      throw unreadable(input, 'what a client gives is not for an undo');
    const delivered = delivery.given.find((one) => hasDigest(one, digest));
    if (delivered === undefined) {
      throw unreadable(input, 'what the client gave did not come; they may have withdrawn it');
    }
    const document = openOfAccount('credential', delivered.document, state);
    requireUsable(document, state);
    requireGivenFor(document.payload, input, order, authorization, state);
    requireSameSecret(document.payload, input, delivered.sealed);
    given.set(input, { credential: document.payload, sealed: delivered.sealed });
  }
  return given;
}

function hasDigest({ document }: DeliveredSecret, digest: string): boolean {
  try {
    return digestOf(document) === digest;
  } catch {
    return false;
  }
}

function requireUsable(
  { payload, signers }: VerifiedDocument<'credential'>,
  state: TrustState,
): void {
  // As for orders of class B and C: a page of the control plane could have put another secret in.
  if (signers.some(({ type }) => type === 'passkey')) {
    throw new DocumentError('type_not_allowed_for_key', 'a passkey signs no credentials');
  }
  const revoked = [payload.id, ...signers.map(keyFingerprint)].find((id) => state.isRevoked(id));
  if (revoked !== undefined) {
    throw new DocumentError('revoked', `${revoked}, which a secret rests on, was withdrawn`);
  }
}

function requireGivenFor(
  credential: Credential,
  input: string,
  order: Order,
  authorization: Authorization,
  { self }: TrustState,
): void {
  const expected = {
    account: self.account,
    // A client's grant alone: what an engineer attests has a digest of its own.
    grant: authorization.digest,
    server: order.server,
    agentKey: order.agentKey,
    action: order.action,
    input,
  };
  for (const [name, value] of Object.entries(expected)) {
    const actual = credential[name as keyof typeof expected];
    if (actual !== value) throw unreadable(input, `it was given for another ${name}: ${actual}`);
  }
}

function requireSameSecret(credential: Credential, input: string, sealed: Uint8Array): void {
  const isWhole = sealed.length <= GIVEN_SECRET_MAX_BYTES;
  if (isWhole && sealedDigest(sealed) === credential.sealed) return;
  throw unreadable(input, 'what came is not the secret that the client signed');
}

function unreadable(input: string, why: string): DocumentError {
  return new DocumentError('sealed_input_unreadable', `${JSON.stringify(input)}: ${why}`);
}
