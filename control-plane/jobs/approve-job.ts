import { shell } from '../../proto/documents/command-text.ts';
import { readUnverified } from '../../proto/documents/document.ts';
import { encodeEnvelope, parseEnvelope } from '../../proto/documents/dsse.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { PublicKey } from '../../proto/documents/keys.ts';
import { actorOf } from '../accounts/caller.ts';
import type { Caller } from '../accounts/caller.ts';
import { appendAudit } from '../audit/audit.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Database } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import { namedCredentials } from '../credentials/named-credentials.ts';
import { requireDeliverable } from './deliverable.ts';
import { appendEvents } from './job-events.ts';
import { lockJob } from './job-store.ts';
import type { Job } from './job-store.ts';
import { moveJob } from './move-job.ts';
import type { OrderSigners } from './order-signers.ts';
import { addOrderSignature, readProposal } from './proposal-store.ts';
import type { Proposal } from './proposal-store.ts';

export interface ApproveJobOptions {
  database: Database;
  bus: Bus;
  signers: OrderSigners;
}

export type ApproveJob = ReturnType<typeof createApproveJob>;

/**
 * Adds another engineer's signature to a proposed order; with the last one that is needed it is queued. What
 * the agent would refuse for this signature is turned away, so that one mistake does not use the order up.
 */
export function createApproveJob({ database, bus, signers }: ApproveJobOptions) {
  return async (caller: Caller, job: Job, envelope: Uint8Array): Promise<void> => {
    const name = `${job.interventionNumber}/${job.number}`;
    const approved = readUnverified('order', envelope);
    if (approved.digest !== job.orderDigest) {
      throw new DomainError(
        'invalid',
        'order_mismatch',
        `What was signed is not the order of ${name}.`,
        { next: [{ label: 'Look again', command: shell`intervene approve ${name}` }] },
      );
    }
    const keys = await signers.keysThatSigned(caller.personId, approved.envelope);
    const agentId = await database.transaction(async (queries) => {
      const held = await lockJob(queries, job.id);
      if (held?.state !== 'proposed') throw notProposed(name, held?.state ?? 'gone');
      const proposal = await readProposal(queries, job.id);
      requireAnother(caller, proposal, name);
      requireMaySign(proposal, keys, name);
      const signed = withSignaturesOf(proposal.orderEnvelope, envelope, keys);
      const { keyids, payload: order } = readUnverified('order', signed);
      const { authorization, plan } = proposal;
      const certificates = await signers.envelopesFor([
        ...keyids,
        ...(authorization?.kind === 'attestation' ? attestersOf(authorization.envelope) : []),
      ]);
      const credentials = await namedCredentials(queries, order, held.accountId);
      requireDeliverable([signed, authorization?.envelope, plan, ...certificates], credentials);
      await addOrderSignature(queries, job.id, caller.personId, signed);
      const actor = actorOf(caller);
      const signatures = proposal.signedBy.length + 1;
      const { engineersNeeded } = proposal;
      const counts = { signatures, engineersNeeded };
      if (signatures >= engineersNeeded) {
        await moveJob(queries, job.id, { to: 'queued', actor, reason: null });
      } else {
        await appendEvents(queries, job.id, 'state', actor, [{ to: 'proposed', ...counts }]);
      }
      await appendAudit(queries, {
        chain: `intervention:${held.interventionId}`,
        actor,
        kind: 'job.approved',
        accountId: held.accountId,
        content: {
          job: job.id,
          order: job.orderDigest,
          keys: keys.map(keyFingerprint),
          ...counts,
        },
      });
      return held.agentId;
    });
    bus.publish('agent', agentId);
    bus.publish('job', job.id);
  };
}

function attestersOf(envelope: Uint8Array): string[] {
  return readUnverified('attestation', envelope).keyids;
}

function notProposed(name: string, state: string): DomainError {
  return new DomainError(
    'conflict',
    'job_not_proposed',
    `${name} waits for nobody's signature: it is ${state}.`,
    { next: [{ label: 'See it', command: shell`intervene jobs show ${name}` }] },
  );
}

function requireAnother(caller: Caller, proposal: Proposal, name: string): void {
  if (proposal.startBefore.getTime() <= Date.now()) {
    throw new DomainError(
      'conflict',
      'order_expired',
      `The order of ${name} had to be started before now.`,
      { next: [{ label: 'Order it again', command: 'intervene run' }] },
    );
  }
  if (proposal.orderedBy === caller.personId) {
    throw new DomainError(
      'conflict',
      'order_is_own',
      `You ordered ${name} yourself: another engineer has to approve it.`,
      { next: [{ label: 'Who may', command: 'intervene engineers list' }] },
    );
  }
  if (proposal.signedBy.includes(caller.personId)) {
    throw new DomainError(
      'conflict',
      'approved_before',
      `You approved ${name} before: somebody else has to sign as well.`,
      { next: [{ label: 'See who signed', command: shell`intervene jobs show ${name}` }] },
    );
  }
}

/** What makes an agent refuse an order because of who signed it. */
function requireMaySign(
  { authorization }: Proposal,
  keys: readonly PublicKey[],
  name: string,
): void {
  if (keys.length === 0) {
    throw new DomainError(
      'forbidden',
      'order_not_yours',
      `The order of ${name} is not signed with a key that is certified for you now.`,
      { next: [{ label: 'See who is certified', command: 'intervene engineers list' }] },
    );
  }
  if (keys.some(({ type }) => type === 'passkey')) {
    throw new DomainError(
      'invalid',
      'type_not_allowed_for_key',
      'An order is approved with the key of the command line, not with a passkey.',
      { next: [{ label: 'Sign it there', command: shell`intervene approve ${name}` }] },
    );
  }
  if (authorization === null) return;
  const named = authorization.content.engineers;
  const fingerprints = keys.map(keyFingerprint);
  if (named !== null && fingerprints.some((one) => !named.includes(one))) {
    throw new DomainError(
      'forbidden',
      'engineer_not_named',
      'The authorization names its engineers, and you are not among them.',
    );
  }
  if (authorization.kind === 'attestation') {
    const attesters = attestersOf(authorization.envelope);
    if (fingerprints.some((one) => attesters.includes(one))) {
      throw new DomainError(
        'conflict',
        'attestation_not_allowed',
        'Whoever attested the authorization does not sign the order: a third engineer is needed.',
        { next: [{ label: 'Who may', command: 'intervene engineers list' }] },
      );
    }
  }
}

/** The stored order with the signatures of these keys; others that came along are left out. */
function withSignaturesOf(
  stored: Uint8Array,
  came: Uint8Array,
  keys: readonly PublicKey[],
): Uint8Array {
  const base = parseEnvelope(stored);
  const wanted = new Set(keys.map(keyFingerprint));
  const known = new Set(base.signatures.map(({ keyid }) => keyid));
  const added = parseEnvelope(came).signatures.filter(
    ({ keyid }) => wanted.has(keyid) && !known.has(keyid),
  );
  return encodeEnvelope({ ...base, signatures: [...base.signatures, ...added] });
}
