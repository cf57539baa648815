import type { JobProgress } from '../jobs/job.ts';
import type { JournalRecord } from '../jobs/journal-record.ts';

/** A job as it arrived. Nothing in it was verified yet; the control plane is only its courier. */
export interface Delivery {
  job: string;
  order: Uint8Array;
  authorization: Uint8Array | null;
  certifications: Uint8Array[];
  plan: Uint8Array | null;
  /** Secrets that the client gave and the order names. */
  given: DeliveredSecret[];
  /** Head of the audit chain of the intervention, hex; null when none came. */
  auditHead: string | null;
}

/** A secret of the client's: the credential they signed, and the age file that it is about. */
export interface DeliveredSecret {
  document: Uint8Array;
  sealed: Uint8Array;
}

/** How far the control plane has committed what this agent holds of a job. */
export interface JobPosition {
  job: string;
  known: boolean;
  ended: boolean;
  nextSequence: number;
  logOffset: number;
}

/** What the control plane has committed, so that the agent may forget it. */
export interface Acknowledged {
  job: string;
  receipt: boolean;
  nextSequence: number | null;
  ended: boolean;
}

export type CancelMode = 'now' | 'after_step';

/** What the control plane says within a session. */
export type Incoming =
  | {
      type: 'welcome';
      agentId: string;
      serverId: string;
      accountId: string;
      positions: JobPosition[];
    }
  | { type: 'delivery'; delivery: Delivery }
  | { type: 'cancel'; job: string; mode: CancelMode }
  | {
      type: 'revocations';
      ids: string[];
      documents: Uint8Array[];
      certifications: Uint8Array[];
    }
  | { type: 'acknowledged'; acknowledged: Acknowledged }
  | { type: 'trust'; rootChain: Uint8Array[]; accountKeys: Uint8Array[] }
  /** An engineer's program wants to attach to a terminal; `attachment` is the control plane's name for it. */
  | { type: 'terminal'; job: string; attachment: string }
  | { type: 'drain'; reconnectAfterMs: number }
  | { type: 'heartbeat' };

/** A piece of the encoded log. */
export interface LogPiece {
  /** First byte, of the whole encoded log. */
  offset: number;
  bytes: Buffer;
  /** Lines that ended before this piece, and lines that end in it. */
  firstLine: number;
  lines: number;
}

/** A secret that a job made, as an age file to the client. */
export interface SealedOutput {
  name: string;
  sealed: Buffer;
}

/** The end of a job, as it is stated to the control plane. */
export interface EndStatement {
  receipt: Uint8Array;
  /** JSON of the result; its digest stands in the receipt. */
  result: Uint8Array;
  /** Envelope of the plan, for jobs of mode `plan`. */
  plan: Uint8Array | null;
  /** Their digests stand in the receipt. */
  sealedOutputs: readonly SealedOutput[];
}

/** What had not been said of a job before its end; it goes along with it. */
export interface Unsaid {
  /** The receipt of acceptance. */
  receipt: Uint8Array | null;
  firstSequence: number;
  records: readonly JournalRecord[];
}

/** What the agent says within a session. */
export type Outgoing =
  | { type: 'receipt'; job: string; receipt: Uint8Array }
  | { type: 'events'; job: string; firstSequence: number; records: readonly JournalRecord[] }
  | { type: 'progress'; job: string; progress: JobProgress }
  | {
      type: 'ended';
      job: string;
      end: EndStatement;
      tail: readonly LogPiece[];
      logLength: number;
      /** The log was committed before and is not here any more. */
      logReleased: boolean;
      unsaid: Unsaid;
    }
  | { type: 'heartbeat' };

/** What the agent says of its machine and of itself when a session begins. */
export interface Facts {
  hostname: string;
  machineId: string;
  serial: string;
  macAddresses: string[];
  os: string;
  kernel: string;
  agentVersion: string;
  addresses: string[];
}

export interface Greeting {
  facts: Facts;
  mode: 'rescue' | 'resident';
  documentTypes: string[];
  actions: { id: string; version: number }[];
  knownJobs: string[];
  bootId: string;
  locked: boolean;
  ageRecipient: string;
}
