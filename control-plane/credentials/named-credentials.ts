import { readGivenReference } from '../../proto/documents/given-reference.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { findNamedCredentials } from './credential-store.ts';
import type { NamedCredential } from './credential-store.ts';

/** Secrets of clients that an order names. Throws for what is not here, or could not be sent along. */
export async function namedCredentials(
  queries: Queries,
  order: Pick<Order, 'sealedInputs'>,
  accountId: string,
): Promise<NamedCredential[]> {
  const digests = Object.values(order.sealedInputs).flatMap(
    (input) => readGivenReference(input) ?? [],
  );
  if (digests.length === 0) return [];
  const found = await findNamedCredentials(queries, [...new Set(digests)]);
  const own = found.filter((row) => row.accountId === accountId);
  const missing = digests.find((digest) => !own.some((row) => row.digest === digest));
  if (missing !== undefined) {
    throw new DomainError(
      'not_found',
      'credential_not_found',
      `The order names a secret that nobody gave: ${missing}.`,
    );
  }
  const over = own.find(({ state }) => state !== 'usable');
  if (over === undefined) return own;
  throw new DomainError(
    'conflict',
    'credential_unusable',
    over.state === 'withdrawn'
      ? `The client withdrew C-${over.number}.`
      : `The permission that C-${over.number} was given under is over.`,
    { next: [{ label: 'See what there is', command: 'intervene credentials list' }] },
  );
}
