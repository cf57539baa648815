import { randomUUID } from 'node:crypto';
import { digestOf, signDocument } from '../../../proto/documents/document.ts';
import { generateSigningKey } from '../../../proto/documents/keys.ts';

/** A root of trust and a client's keys, as an agent is given them when it enrols. */
export function makeTrustDocuments(account: string = randomUUID()) {
  const rootKey = generateSigningKey().signer;
  const clientKeys = [generateSigningKey().signer, generateSigningKey().signer];
  const issuedAt = Math.floor(Date.now() / 1000);
  const root = signDocument(
    'root',
    {
      version: 1,
      previous: null,
      issuedAt,
      threshold: 1,
      keys: [{ key: rootKey.key, name: 'root', may: ['lead', 'engineer', 'revoke'] }],
    },
    [rootKey],
  );
  const accountKeys = signDocument(
    'account-keys',
    {
      account,
      version: 1,
      previous: null,
      issuedAt,
      keys: clientKeys.map((signer, index) => ({
        key: signer.key,
        name: `key ${index}`,
        use: 'signing' as const,
      })),
    },
    [clientKeys[0]!],
  );
  return {
    account,
    rootKey,
    clientKeys,
    root,
    accountKeys,
    rootDigest: digestOf(root),
    accountKeysDigest: digestOf(accountKeys),
  };
}
