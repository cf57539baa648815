import { createHash, createPublicKey, verify } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { EnvelopeSignature } from './dsse.ts';
import type { PublicKey } from './keys.ts';
import { parseStrictJson } from './strict-json.ts';

const SPKI_P256 = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;

/**
 * A WebAuthn assertion (Web Authentication Level 2, section 7.2) whose challenge is the SHA-256 of the
 * signed bytes: relying party, origin, user presence and user verification are all required.
 */
export function verifyPasskeySignature(
  key: Extract<PublicKey, { type: 'passkey' }>,
  message: Uint8Array,
  signature: EnvelopeSignature,
): boolean {
  const assertion = signature.webauthn;
  if (assertion === undefined) return false;
  const { authenticatorData, clientDataJSON } = assertion;
  if (authenticatorData.byteLength < 37 || authenticatorData.byteLength > 1024) return false;
  const relyingParty = createHash('sha256').update(key.rpId).digest();
  if (!relyingParty.equals(authenticatorData.subarray(0, 32))) return false;
  const flags = authenticatorData[32] ?? 0;
  if ((flags & USER_PRESENT) === 0 || (flags & USER_VERIFIED) === 0) return false;
  if (!namesThisMessage(clientDataJSON, message, key.origins)) return false;

  const signed = Buffer.concat([
    authenticatorData,
    createHash('sha256').update(clientDataJSON).digest(),
  ]);
  return verify('sha256', signed, passkeyObject(key.public), signature.sig);
}

/**
 * The key of an uncompressed P-256 point (SEC 1, 2.3.3), base64url. Throws for every other encoding of a
 * point, which would give one key two names, and for what is not on the curve.
 */
export function passkeyObject(publicPoint: string): KeyObject {
  const point = Buffer.from(publicPoint, 'base64url');
  if (point.length !== 65 || point[0] !== 0x04) throw new Error('not an uncompressed P-256 point');
  return createPublicKey({ key: Buffer.concat([SPKI_P256, point]), format: 'der', type: 'spki' });
}

function namesThisMessage(
  clientDataJSON: Uint8Array,
  message: Uint8Array,
  origins: readonly string[],
): boolean {
  let data: unknown;
  try {
    data = parseStrictJson(clientDataJSON, { bytes: 4096, depth: 3 });
  } catch {
    return false;
  }
  if (typeof data !== 'object' || data === null) return false;
  const { type, challenge, origin, crossOrigin } = data as Record<string, unknown>;
  const expected = createHash('sha256').update(message).digest('base64url');
  return (
    type === 'webauthn.get' &&
    challenge === expected &&
    typeof origin === 'string' &&
    origins.includes(origin) &&
    crossOrigin !== true
  );
}
