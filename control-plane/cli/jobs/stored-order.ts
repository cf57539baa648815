import { readUnverified } from '../../../proto/documents/document.ts';
import { readGivenReference } from '../../../proto/documents/given-reference.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { reference, type ApiClient } from '../api/api-client.ts';
import type { JobDocumentsBody } from '../api/bodies.ts';
import { orderWords, type OrderedWith } from '../orders/order-options.ts';

/** The order of a job by its id, as the control plane keeps it; its signatures are not checked. */
export async function fetchOrder(api: ApiClient, job: string): Promise<Order> {
  const path = `/api/v1/jobs/${reference(job)}/documents`;
  const { order } = await api.get<JobDocumentsBody>(path);
  return readUnverified('order', Buffer.from(order, 'base64')).payload;
}

/** How it was ordered, as far as it says: the ticket is not in it, and what was expected has become one with the rest. */
export function wordsOfOrder({ sealedInputs, target }: Order): OrderedWith {
  const inputs = Object.entries(sealedInputs);
  const isGiven = ([, sealed]: [string, string]) => readGivenReference(sealed) !== null;
  const given = inputs.filter(isGiven).map(([name]) => name);
  const secrets = Object.fromEntries(inputs.filter((input) => !isGiven(input)));
  const options = { expectedSystem: {}, ticket: undefined, given, secrets };
  return { ticket: '', words: orderWords(options, target) };
}
