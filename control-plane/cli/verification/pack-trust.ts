import { followAccountKeysChain, followRootChain } from '../../../proto/documents/chain.ts';
import { openDocument, readKind } from '../../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../../proto/documents/document.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { PublicKey } from '../../../proto/documents/keys.ts';
import { FindingError } from './check-list.ts';
import type { CheckList } from './check-list.ts';

export interface Pins {
  root: string;
  accountKeys: string;
  /** Fingerprints of the server's agent; without any, orders and grants say whose receipts count. */
  agentKeys?: readonly string[];
}

type Root = VerifiedDocument<'root'>;
type AccountKeys = VerifiedDocument<'account-keys'>;
export type Certification = VerifiedDocument<'lead'> | VerifiedDocument<'engineer'>;

/** Clocks differ: what begins in the next minute has begun. */
export const SKEW_SECONDS = 60;

/** Who may sign what, by what is pinned and by nothing the pack says of itself. */
export interface PackTrust {
  roots: readonly Root[];
  accountKeys: readonly AccountKeys[];
  certifications: readonly Certification[];
}

/** Follows both chains from their pins and opens every certification. A broken chain counts as empty. */
export function openPackTrust(
  pack: { rootChain: string[]; accountKeys: string[]; certifications: string[] },
  pins: Pins,
  checks: CheckList,
): PackTrust {
  const rootChain = pack.rootChain.map(bytes);
  const roots =
    checks.try('operator root', () => {
      const versions = prefixes(rootChain).map((chain) => followRootChain(chain, pins.root));
      if (versions.length === 0) throw new FindingError('the pack holds no operator root');
      return { value: versions, detail: `${versionText(versions)}, from the pinned ${pins.root}` };
    }) ?? [];
  const keysChain = pack.accountKeys.map(bytes);
  const accountKeys =
    checks.try('account keys', () => {
      const versions = prefixes(keysChain).map((chain) =>
        followAccountKeysChain(chain, pins.accountKeys),
      );
      if (versions.length === 0) throw new FindingError('the pack holds no account keys');
      return {
        value: versions,
        detail: `${versionText(versions)}, from the pinned ${pins.accountKeys}`,
      };
    }) ?? [];
  return { roots, accountKeys, certifications: openCertifications(pack, roots, checks) };
}

/** The client's keys that could sign a grant at that time; clocks, and seconds, are not exact. */
export function grantSigners(trust: PackTrust, atSeconds: number): PublicKey[] {
  const inForce = [atSeconds - SKEW_SECONDS, atSeconds + SKEW_SECONDS].map((at) =>
    newestAt(trust.accountKeys, at),
  );
  const [first = 0, last = -1] = inForce;
  const keys = trust.accountKeys
    .slice(first, last + 1)
    .flatMap(({ payload }) => payload.keys)
    .filter((entry) => entry.use === 'signing')
    .map((entry) => entry.key);
  return [...new Map(keys.map((key) => [key.public, key])).values()];
}

/** All keys a revocation may bear: of the account, of the root, of engineers. */
export function revocationSigners(trust: PackTrust): PublicKey[] {
  return [
    ...trust.accountKeys.flatMap(({ payload }) => payload.keys.map((entry) => entry.key)),
    ...rootKeys(trust.roots, 'revoke'),
    ...certifiedKeys(trust),
  ];
}

export function certifiedKeys(trust: PackTrust): PublicKey[] {
  const keys = trust.certifications.flatMap(({ payload }) => payload.keys);
  return [...new Map(keys.map((key) => [key.public, key])).values()];
}

/** Who held this key as lead or engineer at that time. Throws FindingError when nobody did. */
export function certifiedAt(
  trust: PackTrust,
  key: PublicKey,
  atSeconds: number,
): { person: string; name: string } {
  const naming = trust.certifications.filter(({ payload }) =>
    payload.keys.some((entry) => entry.public === key.public),
  );
  const valid = naming.find(
    (document) => isWithin(document.payload, atSeconds) && isIssued(trust, document, atSeconds),
  );
  if (valid) return { person: valid.payload.person, name: valid.payload.name };
  throw new FindingError(
    naming.length === 0
      ? `nobody certified the key ${keyFingerprint(key)}`
      : `the certification of ${naming[0]?.payload.name} did not hold when the order was signed`,
  );
}

function openCertifications(
  pack: { certifications: string[] },
  roots: readonly Root[],
  checks: CheckList,
): Certification[] {
  const opened: Certification[] = [];
  const ofKind = (kind: 'lead' | 'engineer') =>
    pack.certifications.map(bytes).filter((envelope) => kindOf(envelope) === kind);
  for (const envelope of ofKind('lead')) {
    const lead = checks.try('certification of a lead', () => {
      const value = openDocument('lead', envelope, rootKeys(roots, 'lead'));
      return { value, detail: `${value.payload.name}, signed by the operator root` };
    });
    if (lead) opened.push(lead);
  }
  const issuers = [
    ...rootKeys(roots, 'engineer'),
    ...opened.flatMap(({ payload }) => payload.keys).filter((key) => key.type === 'ed25519'),
  ];
  for (const envelope of ofKind('engineer')) {
    const engineer = checks.try('certification of an engineer', () => {
      const value = openDocument('engineer', envelope, issuers);
      return { value, detail: `${value.payload.name}, signed by a lead or the operator root` };
    });
    if (engineer) opened.push(engineer);
  }
  const strangers = pack.certifications.length - ofKind('lead').length - ofKind('engineer').length;
  if (strangers > 0) checks.fails('certifications', `${strangers} documents are no certifications`);
  return opened;
}

/** Whether those who signed a certification were entitled to at that time. */
function isIssued(trust: PackTrust, document: Certification, atSeconds: number): boolean {
  const roots = rootKeys(trust.roots, document.kind).map((key) => key.public);
  return document.signers.some(
    (signer) =>
      roots.includes(signer.public) ||
      trust.certifications.some(
        (lead) =>
          lead.kind === 'lead' &&
          isWithin(lead.payload, atSeconds) &&
          lead.payload.keys.some((key) => key.public === signer.public),
      ),
  );
}

export function isWithin(window: { notBefore: number; expiresAt: number }, at: number): boolean {
  return at >= window.notBefore - SKEW_SECONDS && at < window.expiresAt;
}

/** Index of the version that was the newest at that time; the first one for what is dated before it. */
function newestAt(versions: readonly AccountKeys[], at: number): number {
  return Math.max(
    0,
    versions.findLastIndex(({ payload }) => payload.issuedAt <= at),
  );
}

function rootKeys(roots: readonly Root[], may: 'lead' | 'engineer' | 'revoke'): PublicKey[] {
  const keys = roots.flatMap(({ payload }) =>
    payload.keys.filter((entry) => entry.may.includes(may)).map((entry) => entry.key),
  );
  return [...new Map(keys.map((key) => [key.public, key])).values()];
}

function prefixes<T>(items: readonly T[]): T[][] {
  return items.map((_, at) => items.slice(0, at + 1));
}

function kindOf(envelope: Uint8Array): string | undefined {
  try {
    return readKind(envelope);
  } catch {
    return undefined;
  }
}

function versionText(versions: readonly unknown[]): string {
  return versions.length === 1 ? 'version 1' : `versions 1 to ${versions.length}`;
}

export function bytes(base64: string): Uint8Array {
  return Buffer.from(base64, 'base64');
}
