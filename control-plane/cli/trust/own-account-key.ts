import { readUnverified } from '../../../proto/documents/document.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import { reference } from '../api/api-client.ts';
import type { DocumentBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import type { StoredKey } from '../profile/key-store.ts';

/** A key of this machine that signs for the account now: keys it gave up lie here still. Null when there is none. */
export async function findAccountKey(
  context: CommandContext,
  account: string,
  wanted?: string,
): Promise<StoredKey | null> {
  const [api, keys] = [await context.api(), await context.keys()];
  const chain = await api.list<DocumentBody>(`/api/v1/accounts/${reference(account)}/keys`);
  const newest = chain.toSorted((a, b) => (b.version ?? 0) - (a.version ?? 0))[0];
  if (newest === undefined) return null;
  const { payload } = readUnverified('account-keys', Buffer.from(newest.envelope, 'base64'));
  const signing = new Set(
    payload.keys.filter(({ use }) => use === 'signing').map(({ key }) => keyFingerprint(key)),
  );
  const own = keys.list().filter((key) => signing.has(key.fingerprint));
  return own.find((key) => wanted === undefined || key.name === wanted) ?? null;
}

/** Throws CliError where no key of this machine signs for the account; `safe` says what was not done. */
export async function requireAccountKey(
  context: CommandContext,
  account: string,
  wanted: string | undefined,
  safe: string,
): Promise<StoredKey> {
  const own = await findAccountKey(context, account, wanted);
  if (own !== null) return own;
  throw new CliError({
    code: 'no_account_key',
    happened:
      wanted === undefined
        ? 'No key of this machine is a signing key of the account.'
        : `The key "${wanted}" is not a signing key of the account.`,
    safe,
    next: [
      wanted === undefined
        ? { label: 'make one', command: 'intervene keys create' }
        : { label: 'see your keys', command: 'intervene keys list' },
    ],
    exitStatus: exitStatus.refused,
  });
}
