import path from 'node:path';
import { findAction } from '../../proto/actions/catalogue.ts';
import { declarationFor, type ActionDeclaration } from '../../proto/actions/declaration.ts';
import { digestOf } from '../../proto/documents/document.ts';
import { uuidV7 } from '../../proto/documents/fields.ts';
import type { Identity } from '../../proto/documents/fields.ts';
import { openGivenSecret } from '../../proto/documents/given-secret.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import { openSealedInput } from '../../proto/documents/sealed-input.ts';
import type { Delivery } from '../connection/courier.ts';
import { isLocked } from './lock.ts';
import { LEDGER_KEEP_SECONDS, LedgerError, NonceLedger } from './nonce-ledger.ts';
import { PinnedTrust } from './pinned-trust.ts';
import type { TrustChains } from './pinned-trust.ts';
import { PolicyFile } from './policy.ts';
import { Receipts } from './receipts.ts';
import type { EndStatement, ReceiptSubject } from './receipts.ts';
import { Revocations } from './revocations.ts';
import { revokersOf } from './revokers.ts';
import type { AgentSelf, TrustState } from './trust-state.ts';
import { TrustedClock } from './trusted-clock.ts';
import type { TimeSource } from './trusted-clock.ts';
import { openSession } from './session.ts';
import { UndoableOrders } from './undoable-orders.ts';
import { verifyDelivery } from './verify-delivery.ts';
import type { Refusal, VerifiedOrder } from './verify-delivery.ts';

const SAVE_TIME_MS = 60_000;

export interface AgentTrustOptions {
  stateDirectory: string;
  policyFile: string;
  /** User who must own the policy; root when left out. */
  policyOwner?: number;
  self: Omit<AgentSelf, 'key'>;
  signer: Signer;
  /** Opens what orders seal to this agent. */
  ageIdentity: string;
  /** What the machine says of itself, asked for each order. */
  facts: () => Identity;
  /** When a rescue image was built, milliseconds: before that nothing can be. */
  timeFloorMs?: number;
  timeSource?: TimeSource;
  findAction?: (id: string) => ActionDeclaration | undefined;
  /** Told when the time mark could not be saved; the agent goes on. */
  onTimeMarkError: (error: unknown) => void;
}

/** What became of a delivery. Receipts are envelopes; null for a job that has not even a job's name. */
export type Admission =
  | {
      admitted: true;
      order: VerifiedOrder;
      sealedInputs: Record<string, string>;
      /** Of an interactive action; its runner's alone. */
      sessionKeys: Buffer | null;
      receipt: Uint8Array;
    }
  | ({
      admitted: false;
      receipt: Uint8Array | null;
      /**
       * This very order was used up before. An agent that has no record of accepting it died in between:
       * it accepts it now, with this receipt, and states that it never started.
       */
      usedUp: { order: VerifiedOrder; receipt: Uint8Array } | null;
    } & Refusal);

interface Parts {
  pinned: PinnedTrust;
  clock: TrustedClock;
  ledger: NonceLedger;
  revocations: Revocations;
  undoable: UndoableOrders;
}

/** All that decides, on the server itself, what may be done to it. */
export class AgentTrust {
  readonly pinned: PinnedTrust;
  readonly clock: TrustedClock;
  readonly ledger: NonceLedger;
  readonly revocations: Revocations;
  private readonly undoable: UndoableOrders;
  private readonly policyFile: PolicyFile;
  private readonly receipts: Receipts;
  private readonly options: AgentTrustOptions;
  private readonly saving: NodeJS.Timeout;

  private constructor(options: AgentTrustOptions, parts: Parts) {
    this.options = options;
    this.pinned = parts.pinned;
    this.clock = parts.clock;
    this.ledger = parts.ledger;
    this.revocations = parts.revocations;
    this.undoable = parts.undoable;
    this.policyFile = new PolicyFile(options.policyFile, options.policyOwner);
    this.receipts = new Receipts(options.self.server, options.signer);
    this.saving = setInterval(() => {
      this.clock.save().catch(options.onTimeMarkError);
      // A ledger that this breaks says so to the next order.
      this.ledger.compact(this.clock.read().now).catch(() => undefined);
    }, SAVE_TIME_MS);
    this.saving.unref();
  }

  /**
   * Loads what is in `trust/` of the state directory. Throws PinnedTrustError, TimeMarkError, LedgerError
   * or RevocationsError when a part is damaged: an agent without all of them starts nothing.
   */
  static async open(options: AgentTrustOptions): Promise<AgentTrust> {
    const directory = path.join(options.stateDirectory, 'trust');
    const pinned = await PinnedTrust.load(directory, options.self.account);
    const clock = await TrustedClock.open(path.join(directory, 'time-mark'), {
      ...(options.timeFloorMs !== undefined && { floorMs: options.timeFloorMs }),
      ...(options.timeSource !== undefined && { source: options.timeSource }),
    });
    return new AgentTrust(options, {
      pinned,
      clock,
      revocations: await Revocations.open(path.join(directory, 'revocations.json')),
      undoable: await UndoableOrders.open(path.join(directory, 'orders')),
      ledger: await NonceLedger.open(path.join(directory, 'ledger'), clock.read().now),
    });
  }

  /**
   * Judges a delivery to its end: every check of `verifyDelivery`, the sealed inputs, the ledger, and then
   * `lastCheck`, for what only the agent knows. When it is admitted, its nonce is burnt on disk and the
   * job may start.
   */
  async admit(
    delivery: Delivery,
    lastCheck: (order: VerifiedOrder) => Refusal | null = () => null,
  ): Promise<Admission> {
    const { generation } = this.revocations;
    const verification = verifyDelivery(delivery, this.state());
    if (!verification.accepted) return this.refuse(delivery, verification);
    const { order } = verification;
    let sealedInputs: Record<string, string>;
    try {
      sealedInputs = await this.openInputs(order);
    } catch (error) {
      const detail = (error as Error).message;
      return this.refuse(delivery, { reason: 'sealed_input_unreadable', detail });
    }
    const session = openSession(order);
    if (session === 'weak') {
      const detail = 'sessionKey: no session can be opened with this key';
      return this.refuse(delivery, { reason: 'parameters_invalid', detail });
    }
    const refusal =
      (await this.useUp(delivery, order)) ??
      this.changedMeanwhile(delivery, generation) ??
      lastCheck(order);
    if (refusal?.reason === 'nonce_used' && this.ledger.hasOrder(order.order)) {
      const receipt = this.accepted(delivery, order);
      return { ...this.refuse(delivery, refusal), usedUp: { order, receipt } };
    }
    if (refusal !== null) return this.refuse(delivery, refusal);
    return {
      admitted: true,
      order,
      sealedInputs,
      sessionKeys: session?.keys ?? null,
      receipt: this.accepted(delivery, order, session?.public),
    };
  }

  /** Refuses a delivery for a reason of the agent's own. */
  refuse(delivery: Delivery, { reason, detail }: Refusal): Extract<Admission, { admitted: false }> {
    const hasName = uuidV7.safeParse(delivery.job).success;
    const receipt = hasName
      ? this.receipts.refused(this.subjectOf(delivery), reason, detail)
      : null;
    return { admitted: false, reason, detail, receipt, usedUp: null };
  }

  /** The receipt for the end of a job that was admitted with the receipt `accepted`. */
  ended(accepted: Uint8Array, end: EndStatement): Uint8Array {
    return this.receipts.ended(accepted, this.clock.read().now, end);
  }

  /** Throws DocumentError for what does not follow from what is held. Resolves whether anything was new. */
  async acceptTrust(update: TrustChains): Promise<boolean> {
    return this.pinned.accept(update, (key) => this.revocations.isRevoked(key));
  }

  /** In force at once; on disk when it resolves. */
  async replaceRevocations(list: {
    ids: readonly string[];
    documents: readonly Uint8Array[];
    /** Of the people who signed them. */
    certifications?: readonly Uint8Array[];
  }): Promise<void> {
    const revokers = revokersOf(this.pinned, list.certifications ?? []);
    await this.revocations.replace(list, revokers, this.clock.read().now);
  }

  async close(): Promise<void> {
    clearInterval(this.saving);
    await this.clock.save();
    await this.ledger.close();
  }

  private state(): TrustState {
    const { options, pinned } = this;
    return {
      self: { ...options.self, key: options.signer.key },
      locked: isLocked(options.stateDirectory),
      root: pinned.root,
      accountKeys: pinned.accountKeys,
      facts: options.facts(),
      time: this.clock.read(),
      isRevoked: (id) => this.revocations.isRevoked(id),
      policy: this.policyFile.read(),
      findAction: options.findAction ?? findAction,
      findUndoable: (job) => this.undoable.find(job),
    };
  }

  private async openInputs({ order, given }: VerifiedOrder): Promise<Record<string, string>> {
    const { ageIdentity } = this.options;
    const open = (name: string, text: string): Promise<string> => {
      const secret = given.get(name);
      return secret === undefined
        ? openSealedInput(ageIdentity, order.job, name, text)
        : openGivenSecret(ageIdentity, secret.credential, secret.sealed);
    };
    const opened = Object.entries(order.sealedInputs).map(
      async ([name, text]) => [name, await open(name, text)] as const,
    );
    return Object.fromEntries(await Promise.all(opened));
  }

  /** Burns the nonce, and remembers what an undo will be judged by. */
  private async useUp(delivery: Delivery, verified: VerifiedOrder): Promise<Refusal | null> {
    const { job, nonce, startBefore, mode } = verified.order;
    try {
      const isFirst = await this.ledger.burn({
        nonce,
        job,
        until: startBefore + LEDGER_KEEP_SECONDS,
      });
      if (!isFirst) {
        return { reason: 'nonce_used', detail: `the order of job ${job} was used up before` };
      }
      if (
        mode === 'apply' &&
        declarationFor(verified.action, verified.order.target).undo === 'yes'
      ) {
        await this.undoable.keep(job, delivery.order);
      }
      return null;
    } catch (error) {
      const reason = 'journal_unwritable';
      const what = error instanceof LedgerError ? 'the nonce ledger' : 'the record for an undo';
      return { reason, detail: `${what} could not be written: ${(error as Error).message}` };
    }
  }

  /** A lock or a revocation that arrived while the ledger was written counts for this order too. */
  private changedMeanwhile(delivery: Delivery, generation: number): Refusal | null {
    if (!isLocked(this.options.stateDirectory) && this.revocations.generation === generation) {
      return null;
    }
    const again = verifyDelivery(delivery, this.state());
    return again.accepted ? null : again;
  }

  private accepted(
    delivery: Delivery,
    { policyDigest }: VerifiedOrder,
    sessionKey?: string,
  ): Uint8Array {
    const subject = { ...this.subjectOf(delivery), policy: policyDigest };
    return this.receipts.accepted(subject, sessionKey);
  }

  private subjectOf(delivery: Delivery): ReceiptSubject {
    const policy = this.policyFile.read();
    return {
      job: delivery.job,
      order: digestOrNull(delivery.order),
      policy: policy.usable ? policy.digest : null,
      auditHead: delivery.auditHead,
      at: this.clock.read().now,
    };
  }
}

function digestOrNull(envelope: Uint8Array): string | null {
  try {
    return digestOf(envelope);
  } catch {
    return null;
  }
}
