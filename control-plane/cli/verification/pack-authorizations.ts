import { authorizationName } from '../../../proto/documents/authorization-name.ts';
import { openDocument, readKind, readUnverified } from '../../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../../proto/documents/document.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import { FindingError } from './check-list.ts';
import type { CheckList } from './check-list.ts';
import {
  bytes,
  certifiedAt,
  certifiedKeys,
  grantSigners,
  revocationSigners,
} from './pack-trust.ts';
import type { PackTrust } from './pack-trust.ts';

export type Authorization = VerifiedDocument<'grant'> | VerifiedDocument<'attestation'>;

/** What was taken back, and when. */
export interface Revoked {
  /** Grant id or key fingerprint. */
  subject: string;
  atSeconds: number;
}

/** Opens every grant and attestation of the pack; those that do not hold authorize nothing. */
export function openAuthorizations(
  envelopes: readonly string[],
  trust: PackTrust,
  checks: CheckList,
): Authorization[] {
  return envelopes.flatMap((envelope) => {
    const found = checks.try('authorization', () => {
      const value = openAuthorization(bytes(envelope), trust);
      const who = value.kind === 'grant' ? 'signed by the client' : 'attested by an engineer';
      const { highestClass } = value.payload;
      return {
        value,
        detail: `${authorizationName(value.payload)}, class ${highestClass}, ${who}`,
      };
    });
    return found === null ? [] : [found];
  });
}

/** Opens every revocation, and tells of each: the reader should know what was taken back. */
export function openRevocations(
  envelopes: readonly string[],
  trust: PackTrust,
  authorizations: readonly Authorization[],
  checks: CheckList,
): Revoked[] {
  const nameOf = (subject: string) => {
    const known = authorizations.find(({ payload }) => payload.id === subject);
    return known === undefined ? subject : authorizationName(known.payload);
  };
  return envelopes.flatMap((envelope) => {
    const found = checks.try('revocation', () => {
      const { payload } = openDocument('revoke', bytes(envelope), revocationSigners(trust));
      const subjects = [...payload.grants, ...payload.keys];
      return {
        value: subjects.map((subject) => ({ subject, atSeconds: payload.issuedAt })),
        detail: `${subjects.map(nameOf).join(', ')}: taken back ${isoTime(payload.issuedAt)}`,
      };
    });
    return found ?? [];
  });
}

function openAuthorization(envelope: Uint8Array, trust: PackTrust): Authorization {
  if (readKind(envelope) === 'attestation') {
    const attestation = openDocument('attestation', envelope, certifiedKeys(trust));
    for (const key of attestation.signers) certifiedAt(trust, key, attestation.payload.notBefore);
    return attestation;
  }
  const claimed = readUnverified('grant', envelope);
  const grant = openDocument('grant', envelope, grantSigners(trust, claimed.payload.notBefore));
  const account = trust.accountKeys[0]?.payload.account;
  if (grant.payload.account !== account) {
    throw new FindingError(
      `${authorizationName(grant.payload)} is of another account than the keys`,
    );
  }
  return grant;
}

/** When this authorization, or a key it rests on, was taken back; null when it was not. */
export function revokedAt(
  authorization: Authorization,
  signers: readonly string[],
  revoked: readonly Revoked[],
): number | null {
  const names = new Set([
    authorization.payload.id,
    ...authorization.signers.map(keyFingerprint),
    ...signers,
  ]);
  const times = revoked.filter(({ subject }) => names.has(subject)).map((one) => one.atSeconds);
  return times.length === 0 ? null : Math.min(...times);
}

export function isoTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000', '');
}
