import {
  digestOf,
  DocumentError,
  openDocument,
  readUnverified,
  trustedSigners,
} from './document.ts';
import type { VerifiedDocument } from './document.ts';
import { keyFingerprint } from './keys.ts';
import type { PublicKey } from './keys.ts';

/**
 * Follows a chain of root documents from the pinned one to the newest, each signed by the old and the new
 * threshold. Throws DocumentError where the chain breaks; an older state is never the answer.
 *
 * @param chain envelopes, oldest first; those before the pinned one are passed over unread
 * @param pin digest of the root to start from
 */
export function followRootChain(
  chain: readonly Uint8Array[],
  pin: string,
): VerifiedDocument<'root'> {
  const [first, ...later] = fromPin('root', chain, pin);
  return later.reduce(nextRoot, openPinnedRoot(first));
}

/** Likewise for account keys: each version signed by a key of the one before it. */
export function followAccountKeysChain(
  chain: readonly Uint8Array[],
  pin: string,
): VerifiedDocument<'account-keys'> {
  const [first, ...later] = fromPin('account-keys', chain, pin);
  return later.reduce(nextAccountKeys, openPinned('account-keys', first));
}

/** Opens the root after `current`: nothing of it is parsed before the old threshold has signed it. */
export function nextRoot(
  current: VerifiedDocument<'root'>,
  bytes: Uint8Array,
): VerifiedDocument<'root'> {
  const old = keysOf(current.payload.keys);
  requireThreshold('old', trustedSigners('root', bytes, old), old, current.payload.threshold);
  const next = openSelfSigned(bytes, old);
  requireSuccessor(current, next);
  return next;
}

export function nextAccountKeys(
  current: VerifiedDocument<'account-keys'>,
  bytes: Uint8Array,
): VerifiedDocument<'account-keys'> {
  const next = openDocument('account-keys', bytes, keysOf(current.payload.keys));
  requireSuccessor(current, next);
  if (current.payload.account !== next.payload.account) {
    throw new DocumentError('payload_malformed', 'the account changes within the chain');
  }
  return next;
}

/**
 * Refuses a successor that too few unrevoked keys of `current` have signed. Following a chain does not ask
 * for this: a link that was accepted stays when a key that signed it is revoked later.
 *
 * @param isRevoked by fingerprint
 */
export function requireUnrevokedSigners<K extends Chained['kind']>(
  current: VerifiedDocument<K>,
  next: VerifiedDocument<K>,
  isRevoked: (fingerprint: string) => boolean,
): void {
  const old = new Set(keysOf(current.payload.keys).map(keyFingerprint));
  const standing = next.signers
    .map(keyFingerprint)
    .filter((fingerprint) => old.has(fingerprint) && !isRevoked(fingerprint));
  const needed = 'threshold' in current.payload ? current.payload.threshold : 1;
  if (standing.length < needed) {
    throw new DocumentError(
      'revoked',
      `version ${next.payload.version} of ${next.kind} is signed by keys that were taken back`,
    );
  }
}

type Chained = VerifiedDocument<'root'> | VerifiedDocument<'account-keys'>;

function fromPin(
  kind: Chained['kind'],
  chain: readonly Uint8Array[],
  pin: string,
): [Uint8Array, ...Uint8Array[]] {
  const start = chain.findIndex((bytes) => digestOf(bytes) === pin);
  const first = chain[start];
  if (first === undefined) {
    throw new DocumentError('signer_unknown', `the pinned ${kind} document ${pin} is not here`);
  }
  return [first, ...chain.slice(start + 1)];
}

/**
 * The document the pin names. The pin vouches for it; in the middle of a chain it bears signatures of keys
 * that only its predecessor knows.
 */
function openPinned<K extends Chained['kind']>(kind: K, bytes: Uint8Array): VerifiedDocument<K> {
  const { payload, digest, envelope } = readUnverified(kind, bytes);
  const own = keysOf(payload.keys);
  if (payload.version === 1) return openDocument(kind, bytes, own);
  const signers = trustedSigners(kind, bytes, own);
  return { kind, payload, payloadBytes: envelope.payload, digest, signers };
}

function openPinnedRoot(bytes: Uint8Array): VerifiedDocument<'root'> {
  const root = openPinned('root', bytes);
  requireThreshold('own', root.signers, keysOf(root.payload.keys), root.payload.threshold);
  return root;
}

/** A root signed by its own threshold; signatures of `others` may stand beside. */
function openSelfSigned(bytes: Uint8Array, others: readonly PublicKey[]): VerifiedDocument<'root'> {
  const own = keysOf(readUnverified('root', bytes).payload.keys);
  const root = openDocument('root', bytes, [...own, ...others]);
  requireThreshold('own', root.signers, own, root.payload.threshold);
  return root;
}

function requireSuccessor(current: Chained, next: Chained): void {
  const expected = current.payload.version + 1;
  if (next.payload.version !== expected || next.payload.previous !== current.digest) {
    throw new DocumentError(
      'payload_malformed',
      `version ${expected} of ${next.kind} was expected, after ${current.digest}`,
    );
  }
}

function requireThreshold(
  whose: 'old' | 'own',
  signers: readonly PublicKey[],
  keys: readonly PublicKey[],
  threshold: number,
): void {
  const known = new Set(keys.map((key) => key.public));
  const count = signers.filter((key) => known.has(key.public)).length;
  if (count < threshold) {
    throw new DocumentError(
      'signature_invalid',
      `${count} of ${threshold} signatures by the root's ${whose} keys`,
    );
  }
}

function keysOf(entries: readonly { key: PublicKey }[]): PublicKey[] {
  return entries.map((entry) => entry.key);
}
