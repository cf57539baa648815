import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { z } from 'zod';
import type { EnvelopeSignature } from './dsse.ts';
import { verifyPasskeySignature } from './passkey.ts';

const base64url = (bytes: number) =>
  z
    .string()
    .refine((text) => /^[A-Za-z0-9_-]+$/.test(text), 'not base64url')
    .refine((text) => Buffer.from(text, 'base64url').length === bytes, `not ${bytes} bytes`)
    .refine(
      (text) => Buffer.from(text, 'base64url').toString('base64url') === text,
      'not canonical',
    );

/** Raw 32-byte Ed25519 public key (RFC 8032). Points of small order are refused: see `isWeakPoint`. */
export const ed25519KeySchema = z.strictObject({
  type: z.literal('ed25519'),
  public: base64url(32).refine((text) => !isWeakPoint(Buffer.from(text, 'base64url')), 'weak key'),
});

/** A passkey: uncompressed P-256 point (65 bytes), and where it may be used from. */
export const passkeySchema = z.strictObject({
  type: z.literal('passkey'),
  public: base64url(65),
  credentialId: z.string().regex(/^[A-Za-z0-9_-]{1,1400}$/),
  rpId: z.string().min(1).max(255),
  origins: z.array(z.string().max(300)).min(1).max(8),
});

export const publicKeySchema = z.discriminatedUnion('type', [ed25519KeySchema, passkeySchema]);
export type PublicKey = z.output<typeof publicKeySchema>;
export type Ed25519Key = z.output<typeof ed25519KeySchema>;

/**
 * OpenSSL accepts public keys of small order, under which one fixed signature verifies for every
 * message; so a key is decoded strictly once, when it is loaded.
 */
function isWeakPoint(raw: Uint8Array): boolean {
  try {
    const point = ed25519.Point.fromBytes(raw, false);
    return point.isSmallOrder() || !point.isTorsionFree();
  } catch {
    return true;
  }
}

/** How people and documents name a key: `SHA256:` and unpadded base64 of its hash, as OpenSSH does. */
export function keyFingerprint(key: PublicKey): string {
  const hash = createHash('sha256')
    .update(`${key.type}\n`)
    .update(Buffer.from(key.public, 'base64url'));
  return `SHA256:${hash.digest('base64').replace(/=+$/, '')}`;
}

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

const keyObjects = new Map<string, KeyObject>();
const KEY_OBJECT_CACHE = 256;

function ed25519KeyObject(key: Ed25519Key): KeyObject {
  let object = keyObjects.get(key.public);
  if (object === undefined) {
    if (isWeakPoint(Buffer.from(key.public, 'base64url'))) throw new Error('weak Ed25519 key');
    const der = Buffer.concat([SPKI_ED25519, Buffer.from(key.public, 'base64url')]);
    object = createPublicKey({ key: der, format: 'der', type: 'spki' });
    if (keyObjects.size >= KEY_OBJECT_CACHE) keyObjects.clear();
    keyObjects.set(key.public, object);
  }
  return object;
}

/** Whether `signature` is `key`'s over `message` (the pre-authentication encoding). */
export function verifySignature(
  key: PublicKey,
  message: Uint8Array,
  signature: EnvelopeSignature,
): boolean {
  if (key.type === 'passkey') return verifyPasskeySignature(key, message, signature);
  if (signature.webauthn !== undefined || signature.sig.byteLength !== 64) return false;
  return verify(null, message, ed25519KeyObject(key), signature.sig);
}

/** A private key that can sign documents. */
export interface Signer {
  readonly key: Ed25519Key;
  sign(message: Uint8Array): Uint8Array;
}

export function generateSigningKey(): { signer: Signer; privateKeyPem: string } {
  const { privateKey } = generateKeyPairSync('ed25519');
  const privateKeyPem = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
  return { signer: loadSigningKey(privateKeyPem), privateKeyPem };
}

/** Throws when the PEM is not an Ed25519 private key (PKCS #8). */
export function loadSigningKey(privateKeyPem: string): Signer {
  const privateKey = createPrivateKey(privateKeyPem);
  if (privateKey.asymmetricKeyType !== 'ed25519') throw new Error('not an Ed25519 private key');
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const key = ed25519KeySchema.parse({
    type: 'ed25519',
    public: spki.subarray(SPKI_ED25519.length).toString('base64url'),
  });
  return { key, sign: (message) => sign(null, message, privateKey) };
}
