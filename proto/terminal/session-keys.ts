import {
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';

/**
 * Keys of one terminal session, known to the engineer's program and the agent alone.
 *
 * Each side makes an X25519 key (RFC 7748) for this session and no other. The engineer's public half is
 * the parameter `sessionKey` of the signed order; the agent's is `sessionKey` of its signed receipt, which
 * names the order by digest. So both halves are authenticated before a byte is typed, and a session can
 * neither be joined later with a stolen signing key nor read afterwards.
 *
 *     transcript = SHA-256( "intervene terminal v1" ‖ 0x00 ‖ job (16) ‖ order digest (32)
 *                           ‖ engineer's public key (32) ‖ agent's public key (32) )
 *     keys (64)  = HKDF-SHA256( ikm = X25519 shared secret, salt = transcript,
 *                               info = "intervene terminal v1 keys" )          (RFC 5869)
 *
 * The first 32 bytes encrypt from engineer to agent, the last 32 from agent to engineer.
 */
export interface SessionKeys {
  fromEngineer: Buffer;
  fromAgent: Buffer;
}

export interface SessionKeyPair {
  /** base64url. */
  public: string;
  privateKey: KeyObject;
}

export interface SessionSubject {
  job: string;
  /** Digest of the order: `sha256:` and hex. */
  order: string;
  /** Public keys, base64url. */
  engineer: string;
  agent: string;
}

/** Thrown for a public key with which no secret can be shared: a point of small order. */
export class WeakSessionKeyError extends Error {
  override name = 'WeakSessionKeyError';
}

export const SESSION_KEYS_BYTES = 64;
const LABEL = 'intervene terminal v1';
const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex');

export function generateSessionKey(): SessionKeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  return { public: spki.subarray(SPKI_X25519.length).toString('base64url'), privateKey };
}

/** Throws WeakSessionKeyError for a peer's key that would make the secret known to everybody. */
export function deriveSessionKeys(
  own: KeyObject,
  peer: string,
  subject: SessionSubject,
): SessionKeys {
  const secret = shareSecret(own, peer);
  const keys = hkdfSync('sha256', secret, transcriptOf(subject), `${LABEL} keys`, 64);
  secret.fill(0);
  return splitSessionKeys(Buffer.from(keys));
}

/** One buffer, as it is handed from the agent to the runner. */
export function joinSessionKeys(keys: SessionKeys): Buffer {
  return Buffer.concat([keys.fromEngineer, keys.fromAgent]);
}

export function splitSessionKeys(bytes: Buffer): SessionKeys {
  if (bytes.length !== SESSION_KEYS_BYTES) throw new Error('not the keys of a session');
  return { fromEngineer: bytes.subarray(0, 32), fromAgent: bytes.subarray(32) };
}

/** The 16 bytes of a UUID. */
export function uuidBytes(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new Error('not a UUID');
  return bytes;
}

function shareSecret(own: KeyObject, peer: string): Buffer {
  const raw = Buffer.from(peer, 'base64url');
  let secret: Buffer;
  try {
    const key = Buffer.concat([SPKI_X25519, raw]);
    const publicKey = createPublicKey({ key, format: 'der', type: 'spki' });
    secret = diffieHellman({ privateKey: own, publicKey });
  } catch (error) {
    throw new WeakSessionKeyError('the session key cannot be used', { cause: error });
  }
  // RFC 7748, 6.1: the result of a point of small order, which OpenSSL refuses by itself too.
  if (secret.every((byte) => byte === 0)) throw new WeakSessionKeyError('weak session key');
  return secret;
}

function transcriptOf({ job, order, engineer, agent }: SessionSubject): Buffer {
  const digest = /^sha256:([0-9a-f]{64})$/.exec(order)?.[1];
  if (digest === undefined) throw new Error('not the digest of an order');
  return createHash('sha256')
    .update(`${LABEL}\0`)
    .update(uuidBytes(job))
    .update(Buffer.from(digest, 'hex'))
    .update(Buffer.from(engineer, 'base64url'))
    .update(Buffer.from(agent, 'base64url'))
    .digest();
}
