import { DocumentError, openDocument, readUnverified } from './document.ts';
import type { VerifiedDocument } from './document.ts';
import type { PublicKey } from './keys.ts';

/**
 * Follows a chain of root documents from the pinned version 1 to the newest, each signed by the old and
 * the new threshold. Throws DocumentError where the chain breaks; an older state is never the answer.
 *
 * @param chain envelopes, oldest first, starting with the pinned one
 * @param pin digest of the first root
 */
export function followRootChain(
  chain: readonly Uint8Array[],
  pin: string,
): VerifiedDocument<'root'> {
  let current: VerifiedDocument<'root'> | undefined;
  for (const bytes of chain) {
    const claimed = readUnverified('root', bytes).payload;
    const own = claimed.keys.map((entry) => entry.key);
    const previous = current?.payload.keys.map((entry) => entry.key) ?? [];
    const next = openDocument('root', bytes, uniqueKeys([...own, ...previous]));
    requireSuccessor(current, next, pin);
    requireThreshold(next, own, next.payload.threshold);
    if (current) requireThreshold(next, previous, current.payload.threshold);
    current = next;
  }
  if (current === undefined) throw new DocumentError('signer_unknown', 'no root document');
  return current;
}

/** Likewise for account keys: each version signed by a key of the one before it. */
export function followAccountKeysChain(
  chain: readonly Uint8Array[],
  pin: string,
): VerifiedDocument<'account-keys'> {
  let current: VerifiedDocument<'account-keys'> | undefined;
  for (const bytes of chain) {
    const trusted = current?.payload ?? readUnverified('account-keys', bytes).payload;
    const next = openDocument(
      'account-keys',
      bytes,
      trusted.keys.map((entry) => entry.key),
    );
    requireSuccessor(current, next, pin);
    if (current && current.payload.account !== next.payload.account) {
      throw new DocumentError('payload_malformed', 'the account changes within the chain');
    }
    current = next;
  }
  if (current === undefined) throw new DocumentError('signer_unknown', 'no account-keys document');
  return current;
}

type Chained = VerifiedDocument<'root'> | VerifiedDocument<'account-keys'>;

function requireSuccessor(current: Chained | undefined, next: Chained, pin: string): void {
  if (current === undefined) {
    if (next.digest !== pin) {
      throw new DocumentError(
        'signer_unknown',
        `the first ${next.kind} document is not the pinned one`,
      );
    }
    return;
  }
  const expected = current.payload.version + 1;
  if (next.payload.version !== expected || next.payload.previous !== current.digest) {
    throw new DocumentError(
      'payload_malformed',
      `version ${expected} of ${next.kind} was expected`,
    );
  }
}

function requireThreshold(
  document: VerifiedDocument<'root'>,
  keys: readonly PublicKey[],
  threshold: number,
): void {
  const known = new Set(keys.map((key) => key.public));
  const count = document.signers.filter((key) => known.has(key.public)).length;
  if (count < threshold) {
    throw new DocumentError('signature_invalid', `${count} of ${threshold} root signatures`);
  }
}

function uniqueKeys(keys: readonly PublicKey[]): PublicKey[] {
  return [...new Map(keys.map((key) => [key.public, key])).values()];
}
