import { randomUUID } from 'node:crypto';
import { appendAudit } from '../audit/audit.ts';
import type { Queries } from '../database/database.ts';
import {
  findIntervention,
  findOpenIntervention,
  insertIntervention,
  lockTicket,
} from './intervention-store.ts';
import type { Intervention } from './intervention-store.ts';

export interface InterventionRequest {
  accountId: string;
  serverId: string;
  ticket: string;
  description: string;
  /** Audit name of whoever asks, see `actorOf`. */
  actor: string;
  openedBy: string | null;
}

/**
 * The open intervention of a server for this ticket; opens one when there is none. For the transaction of
 * whatever belongs to it.
 */
export async function joinIntervention(
  queries: Queries,
  request: InterventionRequest,
): Promise<{ intervention: Intervention; opened: boolean }> {
  const { serverId, ticket, accountId } = request;
  // Sent together, carried out one after the other: the look sees what the lock waited for.
  const [, open] = await Promise.all([
    lockTicket(queries, serverId, ticket),
    findOpenIntervention(queries, serverId, ticket),
  ]);
  if (open !== null) return { intervention: open, opened: false };
  const id = randomUUID();
  await insertIntervention(queries, { id, ...request });
  await appendAudit(queries, {
    chain: `intervention:${id}`,
    actor: request.actor,
    kind: 'intervention.opened',
    accountId,
    content: { intervention: id, server: serverId, ticket, description: request.description },
  });
  return { intervention: (await findIntervention(queries, id))!, opened: true };
}
