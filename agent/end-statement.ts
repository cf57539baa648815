import { createHash } from 'node:crypto';
import { digestOf, signPayload } from '../proto/documents/document.ts';
import type { Signer } from '../proto/documents/keys.ts';
import type { EndStatement } from './connection/courier.ts';
import type { Job } from './jobs/job.ts';
import type { EndedRecord, JournalRecord } from './jobs/journal-record.ts';
import type { Permission } from './statements.ts';
import type { EndStatement as EndContent } from './trust/receipts.ts';

/** Besides log and plan a message has room for this much. */
const RESULT_MAX_BYTES = 96 * 1024;
/** Limits of the receipt's schema. */
const LIST_MAX = 64;

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
  const receipt = options.sign({
    outcome: ended.outcome,
    reason: ended.reason?.slice(0, 64) ?? null,
    exitStatus: ended.exitStatus,
    plan: plan === null ? options.permission.plan : digestOf(plan),
    result: sha256(result),
    log: { ...ended.log, gaps: ended.log.gaps.slice(0, LIST_MAX) },
    changes: changesOf(job.records(0)),
    sealedOutputs: [],
  });
  return { receipt, result, plan };
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
  for (const record of records) {
    if (record.type !== 'step_saved') continue;
    const digests = byStep.get(record.step) ?? [];
    digests.push(...record.backups.map((backup) => backup.digest));
    byStep.set(record.step, digests);
  }
  return [...byStep]
    .slice(0, LIST_MAX)
    .map(([step, backups]) => ({ step: step.slice(0, 64), backups: backups.slice(0, LIST_MAX) }));
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
