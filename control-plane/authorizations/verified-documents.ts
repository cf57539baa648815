import { createHash } from 'node:crypto';
import { DocumentError, openDocument } from '../../proto/documents/document.ts';
import type { DocumentKind, VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';

const REMEMBERED = 2_000;
const opened = new Map<string, VerifiedDocument<DocumentKind>>();

/**
 * As `openDocument`, but checks the signature of the same bytes only once: every job that is ordered
 * looks at the same few documents again. Whether `keys` are trusted is asked anew each time.
 */
export function openRemembered<K extends DocumentKind>(
  kind: K,
  bytes: Uint8Array,
  keys: readonly PublicKey[],
): VerifiedDocument<K> {
  const id = `${kind} ${createHash('sha256').update(bytes).digest('base64')}`;
  const known = opened.get(id) as VerifiedDocument<K> | undefined;
  if (known !== undefined) {
    const trusted = new Set(keys.map(keyFingerprint));
    const unknown = known.signers.find((signer) => !trusted.has(keyFingerprint(signer)));
    if (unknown === undefined) return known;
    throw new DocumentError('signer_unknown', `no trusted key ${keyFingerprint(unknown)}`);
  }
  const document = openDocument(kind, bytes, keys);
  opened.set(id, document as unknown as VerifiedDocument<DocumentKind>);
  if (opened.size > REMEMBERED) opened.delete(opened.keys().next().value!);
  return document;
}
