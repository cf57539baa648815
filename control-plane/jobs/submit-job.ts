import { shell } from '../../proto/documents/command-text.ts';
import { findAction } from '../../proto/actions/catalogue.ts';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { readUnverified } from '../../proto/documents/document.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import { actorOf, scopeOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { joinIntervention } from '../interventions/join-intervention.ts';
import { linkCredentials } from '../credentials/credential-store.ts';
import { namedCredentials } from '../credentials/named-credentials.ts';
import { requireDeliverable } from './deliverable.ts';
import { engineersNeeded } from './engineers-needed.ts';
import type { OrderSigners } from './order-signers.ts';
import { insertJob } from './job-store.ts';
import {
  findAuthorization,
  findOpenTicket,
  findOrderTarget,
  findPlanJob,
  findUndoneJob,
} from './submit-store.ts';
import type { OrderTarget } from './submit-store.ts';

export interface SubmittedOrder {
  envelope: Uint8Array;
  /** Where the order has no authorization to take a ticket from; else the same. */
  ticket?: string | undefined;
  /** How many engineers must sign, where the server's policy wants more than the authorization says. */
  engineers?: number | undefined;
}

export interface SubmitJobOptions {
  database: Database;
  bus: Bus;
  signers: OrderSigners;
  /** Told of each job that waits, so that it can expire in time. */
  onWaiting: (startBefore: Date) => void;
}

const NO_TICKET = 'none';

/**
 * Queues a signed order for its agent and returns the id of its job; one that more engineers have to sign
 * is kept as proposed. What an agent would refuse is let through
 * where the refusal is the answer: only what cannot belong here, or could never be delivered, is turned away.
 */
export function createSubmitJob(options: SubmitJobOptions) {
  const { database, bus, signers, onWaiting } = options;
  return async (caller: Caller, submitted: SubmittedOrder): Promise<string> => {
    const {
      payload: order,
      digest,
      envelope,
      keyids,
    } = readUnverified('order', submitted.envelope);
    const startBefore = new Date(order.startBefore * 1000);
    const [signedWith, target, named] = await Promise.all([
      signers.keysThatSigned(caller.personId, envelope),
      findOrderTarget(database, scopeOf(caller), order.server),
      findNamed(database, order),
    ]);
    requireSigned(signedWith);
    const action = requireKnownAction(order);
    if (startBefore.getTime() <= Date.now()) throw orderExpired();
    const { accountId, agentId, serverId } = requireAgent(target, order);
    const { authorization, plan, undone } = requireNamed(named, order, accountId);
    requireTicketOf(authorization, submitted.ticket);
    const certificates = await signers.envelopesFor([
      ...keyids,
      ...(authorization?.kind === 'attestation'
        ? readUnverified('attestation', authorization.envelope).keyids
        : []),
    ]);
    const credentials = await namedCredentials(database, order, accountId);
    requireDeliverable(
      [submitted.envelope, authorization?.envelope, plan?.envelope, ...certificates],
      credentials,
    );
    const needed = engineersNeeded(order, action, authorization, submitted.engineers ?? 1);
    const signedBy = needed > 1 ? signers.peopleWhoSigned(envelope) : [caller.personId];

    await database.transaction(async (queries) => {
      const ticket =
        authorization?.ticket ??
        submitted.ticket ??
        plan?.ticket ??
        undone?.ticket ??
        (await findOpenTicket(queries, serverId)) ??
        NO_TICKET;
      const actor = actorOf(caller);
      const { intervention } = await joinIntervention(queries, {
        accountId,
        serverId,
        ticket,
        description: order.reason,
        actor,
        openedBy: caller.personId,
      });
      const number = await insertJob(queries, {
        id: order.job,
        accountId,
        interventionId: intervention.id,
        serverId,
        agentId,
        grantId: authorization?.id ?? null,
        action: order.action,
        actionVersion: order.actionVersion,
        mode: order.mode,
        parameters: order.parameters,
        orderEnvelope: submitted.envelope,
        orderDigest: digest,
        planJobId: plan?.id ?? null,
        undoesJobId: undone?.id ?? null,
        orderedBy: caller.personId,
        state: signedBy.length < needed ? 'proposed' : 'queued',
        engineersNeeded: needed,
        signedBy,
        startBefore,
        actor,
      }).catch((error: unknown) => {
        throw isDuplicate(error) ? jobExists(order.job) : error;
      });
      if (credentials.length > 0) {
        await linkCredentials(
          queries,
          order.job,
          credentials.map(({ id }) => id),
        );
      }
      await appendAudit(queries, {
        chain: `intervention:${intervention.id}`,
        actor,
        kind: 'job.ordered',
        accountId,
        content: {
          job: order.job,
          number,
          order: digest,
          action: order.action,
          mode: order.mode,
          ...(credentials.length > 0 && {
            credentials: credentials.map(({ digest: given }) => given),
          }),
          ...(needed > 1 && { engineersNeeded: needed, signatures: signedBy.length }),
        },
      });
    });
    bus.publish('agent', agentId);
    bus.publish('job', order.job);
    onWaiting(startBefore);
    return order.job;
  };
}

/** Whoever sends an order in must be one of its signers; the other signatures are the agent's to judge. */
function requireSigned(own: readonly PublicKey[]): void {
  if (own.length > 0) return;
  throw new DomainError(
    'forbidden',
    'order_not_yours',
    'The order is not signed with a key that is certified for you now.',
    { next: [{ label: 'See who is certified', command: 'intervene engineers list' }] },
  );
}

function requireKnownAction(order: Order): ActionDeclaration {
  const action = findAction(order.action);
  if (action === undefined) {
    throw new DomainError('invalid', 'action_unknown', `There is no action ${order.action}.`, {
      next: [{ label: 'See the actions', command: 'intervene actions' }],
    });
  }
  return action;
}

function requireAgent(
  target: OrderTarget | null,
  order: Order,
): { accountId: string; agentId: string; serverId: string } {
  if (target === null) {
    throw new DomainError('not_found', 'server_not_found', `There is no server ${order.server}.`);
  }
  const { accountId, agentId, serverId, serverName } = target;
  if (agentId === null) {
    throw new DomainError('conflict', 'agent_missing', `${serverName} has no agent.`, {
      next: [
        { label: 'Enrol one', command: shell`intervene enroll ${serverName} --mode resident` },
      ],
    });
  }
  if (target.agentQuarantined) {
    throw new DomainError(
      'conflict',
      'agent_quarantined',
      `The agent of ${serverName} is quarantined.`,
    );
  }
  if (target.agentKeyFingerprint !== order.agentKey) {
    throw new DomainError(
      'conflict',
      'agent_changed',
      `The order is for another agent than the one ${serverName} has now.`,
    );
  }
  return { accountId, agentId, serverId };
}

/** What the order names by digest or id; null where it is not there, or not of this server. */
async function findNamed(database: Database, order: Order) {
  const [authorization, plan, undone] = await Promise.all([
    order.authorization === null ? null : findAuthorization(database, order.authorization),
    order.plan === null ? null : findPlanJob(database, order.server, order.plan),
    order.undoes === null ? null : findUndoneJob(database, order.server, order.undoes),
  ]);
  return { authorization, plan, undone };
}

type Named = Awaited<ReturnType<typeof findNamed>>;

function requireNamed(named: Named, order: Order, accountId: string): Named {
  const { authorization, plan, undone } = named;
  if (order.authorization !== null && authorization?.accountId !== accountId) {
    throw unknownNamed('grant', order.authorization);
  }
  if (order.plan !== null && plan === null) throw unknownNamed('plan', order.plan);
  if (order.undoes !== null && undone === null) throw unknownNamed('job', order.undoes);
  return named;
}

/** Filed under another ticket, the job would be missing from the case that it was authorized for. */
function requireTicketOf(authorization: Named['authorization'], ticket: string | undefined): void {
  if (authorization === null || ticket === undefined || ticket === authorization.ticket) return;
  throw new DomainError(
    'invalid',
    'ticket_mismatch',
    `The order's authorization is for ticket ${authorization.ticket}, not for ${ticket}.`,
  );
}

function unknownNamed(kind: string, name: string): DomainError {
  return new DomainError(
    'not_found',
    `${kind}_not_found`,
    `The order names a ${kind} that is not here: ${name}.`,
  );
}

function orderExpired(): DomainError {
  return new DomainError('conflict', 'order_expired', 'The order had to be started before now.', {
    next: [{ label: 'Sign it again', command: 'intervene run' }],
  });
}

function jobExists(jobId: string): DomainError {
  return new DomainError('conflict', 'job_exists', `Job ${jobId} was ordered before.`, {
    safe: 'It was not ordered a second time.',
    next: [{ label: 'See it', command: shell`intervene jobs show ${jobId}` }],
  });
}

function isDuplicate(error: unknown): boolean {
  return (error as { constraint?: unknown }).constraint === 'jobs_pkey';
}
