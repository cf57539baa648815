import { followRootChain } from '../../proto/documents/chain.ts';
import { digestOf, DocumentError, openDocument } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import type { Queries } from '../database/database.ts';
import { readDocumentChain, readUnexpiredCertifications } from './document-store.ts';
import type { StoredDocument } from './document-store.ts';
import { revokedKeys } from './revocation-store.ts';

/** A lead or engineer document that holds now, without the keys that were revoked since. */
export interface Certification {
  kind: 'lead' | 'engineer';
  person: string;
  name: string;
  keys: PublicKey[];
  digest: string;
  envelope: Uint8Array;
}

/** The newest root; null before there is one. */
export async function readRoot(queries: Queries): Promise<VerifiedDocument<'root'> | null> {
  const chain = (await readDocumentChain(queries, null)).map((row) => row.envelope);
  return chain[0] === undefined ? null : followRootChain(chain, digestOf(chain[0]));
}

/** Keys of the root that may sign what `may` says. */
export function rootKeys(
  root: VerifiedDocument<'root'> | null,
  may: 'lead' | 'engineer' | 'revoke',
): PublicKey[] {
  return (root?.payload.keys ?? [])
    .filter((entry) => entry.may.includes(may))
    .map((entry) => entry.key);
}

/**
 * Every certification that an agent would accept at `at`: signed by the current root or by a lead who is
 * certified now, within its time, by keys that were not revoked. Leads come first.
 */
export async function readCertifications(
  queries: Queries,
  at: Date = new Date(),
): Promise<Certification[]> {
  const root = await readRoot(queries);
  if (root === null) return [];
  const stored = await readUnexpiredCertifications(queries, at);
  const revoked = await revokedKeys(queries);
  const unrevoked = (keys: readonly PublicKey[]) =>
    keys.filter((key) => !revoked.has(keyFingerprint(key)));
  const seconds = Math.floor(at.getTime() / 1000);

  const open = (row: StoredDocument, kind: 'lead' | 'engineer', issuers: PublicKey[]) => {
    const document = openOrNull(row, kind, issuers);
    if (document === null) return [];
    const { notBefore, expiresAt, person, name, keys } = document.payload;
    if (seconds < notBefore || seconds >= expiresAt) return [];
    const holding = unrevoked(keys);
    if (holding.length === 0) return [];
    const { digest, envelope } = row;
    return [{ kind, person, name, keys: holding, digest, envelope }];
  };

  const leads = stored
    .filter((row) => row.kind === 'lead')
    .flatMap((row) => open(row, 'lead', unrevoked(rootKeys(root, 'lead'))));
  const issuers = [...unrevoked(rootKeys(root, 'engineer')), ...leads.flatMap((lead) => lead.keys)];
  const engineers = stored
    .filter((row) => row.kind === 'engineer')
    .flatMap((row) => open(row, 'engineer', issuers));
  return [...leads, ...engineers];
}

/** Keys whose orders and attestations count as this person's. Leads count as engineers. */
export async function certifiedKeysOf(
  queries: Queries,
  personId: string,
  at: Date = new Date(),
): Promise<PublicKey[]> {
  const all = await readCertifications(queries, at);
  return all.filter((row) => row.person === personId).flatMap((row) => row.keys);
}

/** One signed by somebody who is no longer trusted counts for nothing; that is not an error. */
function openOrNull(
  row: StoredDocument,
  kind: 'lead' | 'engineer',
  issuers: PublicKey[],
): VerifiedDocument<'lead' | 'engineer'> | null {
  try {
    return openDocument(kind, row.envelope, issuers);
  } catch (error) {
    if (error instanceof DocumentError) return null;
    throw error;
  }
}
