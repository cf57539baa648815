import { openDocument, signDocument } from '../../proto/documents/document.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import type { Receipt } from '../../proto/documents/kinds/receipt.ts';
import type { RefusalReason } from '../../proto/documents/reasons.ts';

/** What every receipt of a job names. `at` in seconds of trusted time. */
export type ReceiptSubject = Pick<Receipt, 'job' | 'order' | 'policy' | 'auditHead' | 'at'>;

type EndedReceipt = Extract<Receipt, { statement: 'ended' }>;

/** What a receipt states about a job that ended. */
export type EndStatement = Omit<
  EndedReceipt,
  keyof ReceiptSubject | 'statement' | 'server' | 'agentKey'
>;

const DETAIL_MAX = 1000;

/** Signs what the agent states about its jobs. Each method returns an envelope. */
export class Receipts {
  private readonly server: string;
  private readonly signer: Signer;
  private readonly agentKey: string;

  constructor(server: string, signer: Signer) {
    this.server = server;
    this.signer = signer;
    this.agentKey = keyFingerprint(signer.key);
  }

  /** @param sessionKey the agent's half of the key of an interactive session */
  accepted(subject: ReceiptSubject, sessionKey?: string): Uint8Array {
    return this.sign({
      statement: 'accepted',
      ...this.common(subject),
      ...(sessionKey !== undefined && { sessionKey }),
    });
  }

  /** The detail may quote hostile text of any length. */
  refused(subject: ReceiptSubject, reason: RefusalReason, detail: string): Uint8Array {
    return this.sign({
      statement: 'refused',
      ...this.common(subject),
      reason,
      detail: detail.slice(0, DETAIL_MAX).toWellFormed(),
    });
  }

  /**
   * States the end of a job that was accepted with this receipt. Throws when it is another statement, or
   * the agent did not sign it.
   *
   * @param at trusted time in seconds
   */
  ended(accepted: Uint8Array, at: number, end: EndStatement): Uint8Array {
    const { payload } = openDocument('receipt', accepted, [this.signer.key]);
    if (payload.statement !== 'accepted') throw new Error(`a job that was ${payload.statement}`);
    return this.sign({ statement: 'ended', ...this.common({ ...payload, at }), ...end });
  }

  private common(subject: ReceiptSubject) {
    const { job, order, policy, auditHead, at } = subject;
    return { job, server: this.server, agentKey: this.agentKey, order, policy, at, auditHead };
  }

  private sign(receipt: Receipt): Uint8Array {
    return signDocument('receipt', receipt, [this.signer]);
  }
}
