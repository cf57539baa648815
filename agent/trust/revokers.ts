import { DocumentError, openDocument } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import { CertifiedPeople } from './certified-people.ts';
import type { CertifiedPerson } from './certified-people.ts';

/** Whose revocations outlast a control plane that no longer mentions them. */
export interface Revokers {
  root: VerifiedDocument<'root'>;
  accountKeys: VerifiedDocument<'account-keys'> | null;
  people: CertifiedPeople;
}

/**
 * @param certifications what came with a list of revocations; when one of them is damaged nobody is certified,
 *   and the list counts as unsigned
 */
export function revokersOf(
  trust: Pick<Revokers, 'root' | 'accountKeys'>,
  certifications: readonly Uint8Array[],
): Revokers {
  const { root, accountKeys } = trust;
  try {
    return { root, accountKeys, people: CertifiedPeople.open(certifications, root) };
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return { root, accountKeys, people: CertifiedPeople.open([], root) };
  }
}

/**
 * The revocation when its signatures give it a right to stay: those of the account, of root keys that may
 * revoke, of leads, and of engineers for their own keys. Null for any other, which counts as unsigned.
 *
 * @param at trusted time in seconds
 * @param isRevoked what was revoked before this one
 */
export function openLasting(
  envelope: Uint8Array,
  revokers: Revokers,
  at: number,
  isRevoked: (fingerprint: string) => boolean,
): VerifiedDocument<'revoke'> | null {
  const { root, accountKeys, people } = revokers;
  const owners = [
    ...root.payload.keys.filter(({ may }) => may.includes('revoke')),
    ...(accountKeys?.payload.keys ?? []),
  ].map(({ key }) => key);
  const byOwner = openOrNull(() => openDocument('revoke', envelope, owners));
  if (byOwner !== null) return byOwner;
  return openOrNull(() => {
    // A passkey is used on pages that the control plane serves.
    const keys = people.keys.filter(({ type }) => type === 'ed25519');
    const document = openDocument('revoke', envelope, keys);
    const signers = document.signers.map((key) => people.certify(key, at, isRevoked));
    return signers.every((signer) => mayRevoke(signer, document, revokers)) ? document : null;
  });
}

/** Keys of the operator and of the client are not for the provider's people to take back for good. */
function mayRevoke(
  signer: CertifiedPerson,
  { payload }: VerifiedDocument<'revoke'>,
  { root, accountKeys, people }: Revokers,
): boolean {
  const owned = [...root.payload.keys, ...(accountKeys?.payload.keys ?? [])];
  const protectedKeys = owned.map(({ key }) => keyFingerprint(key));
  return payload.keys.every(
    (fingerprint) =>
      !protectedKeys.includes(fingerprint) &&
      (signer.role === 'lead' || people.personOf(fingerprint) === signer.person),
  );
}

function openOrNull<T>(open: () => T): T | null {
  try {
    return open();
  } catch (error) {
    if (error instanceof DocumentError) return null;
    throw error;
  }
}
