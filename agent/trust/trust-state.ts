import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import type { VerifiedDocument } from '../../proto/documents/document.ts';
import type { Identity } from '../../proto/documents/fields.ts';
import type { Ed25519Key } from '../../proto/documents/keys.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { PolicyReading } from './policy.ts';
import type { TrustedTime } from './trusted-clock.ts';

/** Who this agent is; from its enrolment, never from a message. */
export interface AgentSelf {
  server: string;
  account: string;
  mode: 'rescue' | 'resident';
  /** Its document-signing key. */
  key: Ed25519Key;
}

/** Everything besides the delivery that decides whether an order is accepted, as of now. */
export interface TrustState {
  self: AgentSelf;
  locked: boolean;
  root: VerifiedDocument<'root'>;
  /** Null when the client had no keys when trust was pinned. */
  accountKeys: VerifiedDocument<'account-keys'> | null;
  /** What the machine says of itself now. */
  facts: Identity;
  time: TrustedTime;
  isRevoked: (idOrFingerprint: string) => boolean;
  policy: PolicyReading;
  findAction: (id: string) => ActionDeclaration | undefined;
  /** The apply order of a job whose changes can be undone, as this agent accepted it. */
  findUndoable: (job: string) => Order | undefined;
}
