import { shell } from '../../../proto/documents/command-text.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { GrantBody } from '../api/bodies.ts';
import { usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { chooseGrant, type GrantChoice } from './grant-choice.ts';
import type { WantedJob } from './order-job.ts';
import type { Preparation } from './prepare-order.ts';

/** The one of these permissions that an order is sent with: of the ticket that is named, where one of it covers. */
export function choosePermission(
  context: CommandContext,
  { server, agent, signer }: Preparation,
  grants: readonly GrantBody[],
  { action, mode, parameters }: Pick<WantedJob, 'action' | 'mode' | 'parameters'>,
  ticket: string | undefined,
): GrantChoice {
  const order = { server: server.id, agentKey: agent.keyFingerprint, mode, parameters };
  const choose = (from: readonly GrantBody[]) =>
    chooseGrant(
      from,
      { ...order, action: action.id },
      action,
      context.nowSeconds(),
      keyFingerprint(signer.key),
    );
  const own = choose(grants.filter((grant) => grant.ticket === ticket));
  return own.grant === null ? choose(grants) : own;
}

/** A job under a permission belongs to the permission's ticket; filed under another, its case would miss it. */
export function requireTicketOf(
  grant: GrantBody | undefined,
  ticket: string | undefined,
  server: string,
  actions: readonly string[],
): void {
  if (grant === undefined || ticket === undefined || grant.ticket === ticket) return;
  throw usageError(
    `--ticket ${ticket}: the permission that covers this, G-${grant.number}, is for ${grant.ticket}. Leave --ticket out.`,
    [
      {
        label: 'or the client permits it for that ticket',
        command: shell`intervene authorize ${server} --ticket ${ticket} --actions ${actions.join(',')}`,
        byOther: true,
      },
    ],
    'ticket_mismatch',
  );
}
