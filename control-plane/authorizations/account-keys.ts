import { followAccountKeysChain } from '../../proto/documents/chain.ts';
import { digestOf } from '../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import type { Queries } from '../database/database.ts';
import { readDocumentChain } from './document-store.ts';
import { revokedKeys } from './revocation-store.ts';

/** The newest keys of an account; null before there are any. */
export async function readAccountKeys(
  queries: Queries,
  accountId: string,
): Promise<VerifiedDocument<'account-keys'> | null> {
  const chain = (await readDocumentChain(queries, accountId)).map((row) => row.envelope);
  return chain[0] === undefined ? null : followAccountKeysChain(chain, digestOf(chain[0]));
}

/** Keys that may sign for the account now: those for signing, or the ones to recover with as well. */
export async function accountSigners(
  queries: Queries,
  accountId: string,
  uses: readonly ('signing' | 'recovery')[] = ['signing'],
): Promise<PublicKey[]> {
  const keys = await readAccountKeys(queries, accountId);
  const revoked = await revokedKeys(queries);
  return (keys?.payload.keys ?? [])
    .filter((entry) => uses.includes(entry.use) && !revoked.has(keyFingerprint(entry.key)))
    .map((entry) => entry.key);
}
