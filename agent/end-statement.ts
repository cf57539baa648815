import { createHash } from 'node:crypto';
import { digestOf, signPayload } from '../proto/documents/document.ts';
import type { Signer } from '../proto/documents/keys.ts';
import {
  sealedDigest,
  sealedOutputLimits,
  sealedOutputName,
} from '../proto/documents/sealed-output.ts';
import type { EndStatement, SealedOutput } from './connection/courier.ts';
import type { Job } from './jobs/job.ts';
import type { EndedRecord, JournalRecord } from './jobs/journal-record.ts';
import { leftToUndo } from './jobs/left-to-undo.ts';
import type { Permission } from './statements.ts';
import type { EndStatement as EndContent } from './trust/receipts.ts';

/** Besides log and plan a message has room for this much. */
const RESULT_MAX_BYTES = 96 * 1024;
/** Limits of the receipt's schema. */
const LIST_MAX = 64;
/** Half of what a document may hold; the rest of a receipt takes less than a quarter. */
const CHANGES_MAX_BYTES = 32 * 1024;

export interface StateEndOptions {
  permission: Permission;
  signer: Signer;
  /** Signs the receipt, or gives the one that was signed before. */
  sign: (content: EndContent) => Uint8Array;
}

/**
 * States the end of a job from what its folder says: result, plan and receipt as the control plane gets
 * them. The job must have ended.
 */
export async function stateEnd(job: Job, options: StateEndOptions): Promise<EndStatement> {
  const ended = job.ended!;
  const result = encodeResult(ended.result);
  const plan = options.permission.mode === 'plan' ? await signPlan(job, options.signer) : null;
  // A plan that somebody spoiled after it was made is none.
  const isPlanned = options.permission.mode === 'plan' && ended.outcome === 'succeeded';
  const isDamaged = isPlanned && plan === null;
  const sealedOutputs = sealedOutputsOf(job.records(0));
  const receipt = options.sign({
    outcome: isDamaged ? 'interrupted' : ended.outcome,
    reason: isDamaged ? 'journal_damaged' : (ended.reason?.slice(0, 64) ?? null),
    exitStatus: ended.exitStatus,
    plan: plan === null ? options.permission.plan : digestOf(plan),
    result: sha256(result),
    log: { ...ended.log, gaps: ended.log.gaps.slice(0, LIST_MAX) },
    changes: changesOf(job.records(0)),
    sealedOutputs: sealedOutputs.map(({ sealed }) => sealedDigest(sealed)),
  });
  return { receipt, result, plan, sealedOutputs };
}

/** Null when the job made none, as when it failed. */
async function signPlan(job: Job, signer: Signer): Promise<Uint8Array | null> {
  const bytes = await job.readPlan();
  return bytes === null ? null : signPayload('plan', bytes, [signer]);
}

function encodeResult(result: EndedRecord['result']): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(result));
  if (bytes.length <= RESULT_MAX_BYTES) return bytes;
  return Buffer.from(JSON.stringify({ omittedBytes: bytes.length }));
}

function changesOf(records: readonly JournalRecord[]): EndContent['changes'] {
  const byStep = new Map<string, string[]>();
  for (const { step, backups } of leftToUndo(records)) {
    const digests = byStep.get(step) ?? [];
    digests.push(...backups.map((backup) => backup.digest));
    byStep.set(step, digests);
  }
  const changes = [...byStep]
    .slice(0, LIST_MAX)
    .map(([step, backups]) => ({ step: step.slice(0, 64), backups: backups.slice(0, LIST_MAX) }));
  return fitting(changes);
}

/** A runner keeps within the limits; what is beyond them somebody else wrote. */
function sealedOutputsOf(records: readonly JournalRecord[]): SealedOutput[] {
  return records
    .flatMap((record) =>
      record.type === 'secret_sealed'
        ? [{ name: record.name, sealed: Buffer.from(record.sealed, 'base64') }]
        : [],
    )
    .filter(
      ({ name, sealed }) =>
        sealedOutputName.safeParse(name).success && sealed.length <= sealedOutputLimits.sealedBytes,
    )
    .slice(0, sealedOutputLimits.count);
}

/** Every step stays named; what does not fit are digests of those that saved the most. */
function fitting(changes: EndContent['changes']): EndContent['changes'] {
  let most = LIST_MAX;
  let shown = changes;
  while (Buffer.byteLength(JSON.stringify(shown)) > CHANGES_MAX_BYTES && most > 0) {
    most--;
    shown = changes.map(({ step, backups }) => ({ step, backups: backups.slice(0, most) }));
  }
  return shown;
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
