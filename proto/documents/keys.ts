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
import { passkeyObject, verifyPasskeySignature } from './passkey.ts';

const base64url = (bytes: number) =>
  z
    .string()
    .refine((text) => /^[A-Za-z0-9_-]+$/.test(text), 'not base64url')
    .refine((text) => Buffer.from(text, 'base64url').length === bytes, `not ${bytes} bytes`)
    .refine(
      (text) => Buffer.from(text, 'base64url').toString('base64url') === text,
      'not canonical',
    );

/** Raw 32-byte Ed25519 public key (RFC 8032). Points of small order are refused: see `isStrongPoint`. */
export const ed25519KeySchema = z.strictObject({
  type: z.literal('ed25519'),
  public: base64url(32).refine(isStrongPoint, 'weak key'),
});

/** A passkey: uncompressed P-256 point (65 bytes), and where it may be used from. */
export const passkeySchema = z.strictObject({
  type: z.literal('passkey'),
  public: base64url(65).refine(isPasskeyPoint, 'not a point of P-256'),
  credentialId: z.string().regex(/^[A-Za-z0-9_-]{1,1400}$/),
  rpId: z.string().min(1).max(255),
  origins: z.array(z.string().max(300)).min(1).max(8),
});

export const publicKeySchema = z.discriminatedUnion('type', [ed25519KeySchema, passkeySchema]);
export type PublicKey = z.output<typeof publicKeySchema>;
export type Ed25519Key = z.output<typeof ed25519KeySchema>;

const KEY_CACHE = 1024;
const strongPoints = new Set<string>();
const fingerprints = new Map<string, string>();
const keyObjects = new Map<string, KeyObject>();

/**
 * OpenSSL accepts public keys of small order, under which one fixed signature verifies for every
 * message; so a key is decoded strictly once, when it is first seen (RFC 8032, 5.1.3, and no torsion).
 */
function isStrongPoint(text: string): boolean {
  if (strongPoints.has(text)) return true;
  try {
    const point = ed25519.Point.fromBytes(Buffer.from(text, 'base64url'), false);
    if (point.isSmallOrder() || !point.isTorsionFree()) return false;
  } catch {
    return false;
  }
  if (strongPoints.size >= KEY_CACHE) strongPoints.clear();
  strongPoints.add(text);
  return true;
}

function isPasskeyPoint(text: string): boolean {
  try {
    passkeyObject(text);
    return true;
  } catch {
    return false;
  }
}

/** How people and documents name a key: `SHA256:` and unpadded base64 of its hash, as OpenSSH does. */
export function keyFingerprint(key: PublicKey): string {
  return cached(fingerprints, `${key.type}\n${key.public}`, () => {
    const hash = createHash('sha256')
      .update(`${key.type}\n`)
      .update(Buffer.from(key.public, 'base64url'));
    return `SHA256:${hash.digest('base64').replace(/=+$/, '')}`;
  });
}

const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

function ed25519KeyObject(key: Ed25519Key): KeyObject {
  return cached(keyObjects, key.public, () => {
    if (!isStrongPoint(key.public)) throw new Error('weak Ed25519 key');
    const der = Buffer.concat([SPKI_ED25519, Buffer.from(key.public, 'base64url')]);
    return createPublicKey({ key: der, format: 'der', type: 'spki' });
  });
}

function cached<V>(cache: Map<string, V>, name: string, make: () => V): V {
  const known = cache.get(name);
  if (known !== undefined) return known;
  const made = make();
  if (cache.size >= KEY_CACHE) cache.clear();
  cache.set(name, made);
  return made;
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
