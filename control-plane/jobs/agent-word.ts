import { digestOf, openDocument } from '../../proto/documents/document.ts';
import type { Ed25519Key } from '../../proto/documents/keys.ts';
import { keyFingerprint } from '../../proto/documents/keys.ts';
import type { Receipt } from '../../proto/documents/kinds/receipt.ts';
import {
  sealedDigest,
  sealedOutputLimits,
  sealedOutputName,
} from '../../proto/documents/sealed-output.ts';
import type {
  JobEnded__Output,
  JobEvents__Output,
  JobReceipt__Output,
  SealedOutput__Output,
} from '../../proto/wire.ts';
import { cleanJson } from '../agents/hostile-text.ts';
import { DomainError } from '../domain-error.ts';
import { openChunk } from '../logs/chunk.ts';
import type { Chunk } from '../logs/chunk.ts';
import { digestBytes } from '../logs/log-digest.ts';

type Statement<S extends Receipt['statement']> = Extract<Receipt, { statement: S }>;

/** What an agent says of a job, as far as it can be checked without knowing the job. */
export type AgentWord =
  | { type: 'accepted'; jobId: string; receipt: Statement<'accepted'>; envelope: Buffer }
  | { type: 'refused'; jobId: string; receipt: Statement<'refused'>; envelope: Buffer }
  | { type: 'events'; jobId: string; first: number; records: Record<string, unknown>[] }
  | {
      type: 'ended';
      jobId: string;
      receipt: Statement<'ended'>;
      envelope: Buffer;
      result: unknown;
      plan: { envelope: Buffer; digest: string } | null;
      tail: Chunk[];
      logLength: number;
      /** The agent has no more of the log than this: it was committed once, and released. */
      logReleased: boolean;
      /** Secrets that the job made, sealed to the client. */
      sealedOutputs: SealedOutput[];
    };

export interface SealedOutput {
  name: string;
  sealed: Buffer;
  digest: string;
}

/** The agent whose word it is. */
export interface Speaker {
  agentId: string;
  serverId: string;
  key: Ed25519Key;
}

/** Throws DocumentError or DomainError unless it is a receipt of this agent for this job. */
export function readReceiptWord(speaker: Speaker, wire: JobReceipt__Output): AgentWord {
  const jobId = wire.jobId ?? '';
  const envelope = wire.receipt ?? Buffer.alloc(0);
  const receipt = openReceipt(speaker, jobId, envelope);
  if (receipt.statement === 'accepted') return { type: 'accepted', jobId, receipt, envelope };
  if (receipt.statement === 'refused') return { type: 'refused', jobId, receipt, envelope };
  throw wrong('receipt_statement', `A receipt that says ${receipt.statement} came too early.`);
}

const RECORDS_MAX = 4_096;
/** A longer record is kept as a note that it was there; a result too long for it comes with the end. */
export const RECORD_MAX_BYTES = 16 * 1024;
const RECORD_TYPE_MAX = 64;

export function readEventsWord(wire: JobEvents__Output): AgentWord {
  const records = wire.records ?? [];
  if (records.length > RECORDS_MAX) throw wrong('events_too_many', 'Too many records at once.');
  const first = wire.firstSequence ?? 0;
  if (!Number.isSafeInteger(first) || first < 0) throw wrong('events_invalid', 'Not a sequence.');
  return { type: 'events', jobId: wire.jobId ?? '', first, records: records.map(readRecord) };
}

/** Throws unless receipt, result, plan, log length and sealed outputs say the same. */
export function readEndedWord(speaker: Speaker, wire: JobEnded__Output): AgentWord {
  const jobId = wire.jobId ?? '';
  const envelope = wire.receipt ?? Buffer.alloc(0);
  const receipt = openReceipt(speaker, jobId, envelope);
  if (receipt.statement !== 'ended') {
    throw wrong('receipt_statement', `A job ended with a receipt that says ${receipt.statement}.`);
  }
  const resultBytes = wire.result ?? Buffer.alloc(0);
  if (digestBytes([resultBytes]) !== receipt.result) {
    throw wrong('result_mismatch', 'The result is not the one of the receipt.');
  }
  const logLength = wire.logLength ?? 0;
  if (logLength !== receipt.log.bytes) {
    throw wrong('log_length_mismatch', 'The log is not as long as the receipt says.');
  }
  return {
    type: 'ended',
    jobId,
    receipt,
    envelope,
    result: parseJson(resultBytes, 'result_invalid'),
    plan: readPlan(speaker, wire.plan ?? Buffer.alloc(0), receipt.plan),
    tail: (wire.tail ?? []).map(openChunk),
    logLength,
    logReleased: wire.logReleased ?? false,
    sealedOutputs: readSealedOutputs(wire.sealedOutputs ?? [], receipt.sealedOutputs),
  };
}

function openReceipt(speaker: Speaker, jobId: string, envelope: Buffer): Receipt {
  const receipt = openDocument('receipt', envelope, [speaker.key]).payload;
  const isOwn =
    receipt.job === jobId &&
    receipt.server === speaker.serverId &&
    receipt.agentKey === keyFingerprint(speaker.key);
  if (!isOwn) throw wrong('receipt_mismatch', 'The receipt is for another job, server or agent.');
  return receipt;
}

/** A plan job's receipt names the plan that comes with it; any other's names the one it was ordered with. */
function readPlan(
  speaker: Speaker,
  envelope: Buffer,
  named: string | null,
): { envelope: Buffer; digest: string } | null {
  if (envelope.length === 0) return null;
  const plan = openDocument('plan', envelope, [speaker.key]);
  if (plan.digest !== named || plan.payload.server !== speaker.serverId) {
    throw wrong('plan_mismatch', 'The plan is not the one of the receipt.');
  }
  return { envelope, digest: digestOf(envelope) };
}

/** In the order of the receipt, which has their digests. */
function readSealedOutputs(
  outputs: readonly SealedOutput__Output[],
  stated: readonly string[],
): SealedOutput[] {
  const read = outputs.map(({ name = '', sealed = Buffer.alloc(0) }) => ({
    name,
    sealed,
    digest: sealedDigest(sealed),
  }));
  const isWithin = read.every(
    ({ name, sealed }) =>
      sealedOutputName.safeParse(name).success && sealed.length <= sealedOutputLimits.sealedBytes,
  );
  const isStated =
    read.length === stated.length && read.every(({ digest }, at) => digest === stated[at]);
  const names = new Set(read.map(({ name }) => name));
  if (isWithin && isStated && names.size === read.length) return read;
  throw wrong('sealed_output_mismatch', 'The secrets are not those of the receipt.');
}

function readRecord(bytes: Buffer): Record<string, unknown> {
  const record = parseJson(bytes, 'events_invalid');
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw wrong('events_invalid', 'A journal record is not an object.');
  }
  if (bytes.length <= RECORD_MAX_BYTES) return record as Record<string, unknown>;
  const { type, at } = record as Record<string, unknown>;
  return {
    ...(typeof type === 'string' && { type: type.slice(0, RECORD_TYPE_MAX).toWellFormed() }),
    ...(typeof at === 'number' && { at }),
    omittedBytes: bytes.length,
  };
}

function parseJson(bytes: Buffer, code: string): unknown {
  try {
    return cleanJson(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new DomainError('invalid', code, 'What should be JSON is not.', { cause });
  }
}

function wrong(code: string, happened: string): DomainError {
  return new DomainError('invalid', code, happened);
}
