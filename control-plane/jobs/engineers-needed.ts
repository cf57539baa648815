import { orderClass } from '../../proto/documents/coverage.ts';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import type { Attestation, Grant } from '../../proto/documents/kinds/grant.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';

/** Without a client's own signature two of the provider's people must agree. */
const FOR_ATTESTATION = 2;

/**
 * How many engineers must have signed an order before its agent is sent it. The agent counts again, by its
 * policy too, which only it can read: `asked` is for those who know that it wants more.
 */
export function engineersNeeded(
  order: Pick<Order, 'mode'>,
  action: ActionDeclaration,
  authorization: {
    kind: 'grant' | 'attestation';
    content: Pick<Grant | Attestation, 'engineersForClassC'>;
  } | null,
  asked: number,
): number {
  if (orderClass(action, order.mode) !== 'C' || authorization === null) return asked;
  const { kind, content } = authorization;
  return Math.max(asked, content.engineersForClassC, kind === 'attestation' ? FOR_ATTESTATION : 1);
}
