import { findAction } from '../../proto/actions/catalogue.ts';
import { appendAudit } from '../audit/audit.ts';
import { insertMade } from '../credentials/credential-store.ts';
import type { Queries } from '../database/database.ts';
import { Writes } from '../database/writes.ts';
import { DomainError } from '../domain-error.ts';
import { trimChunk } from '../logs/chunk.ts';
import type { Chunk } from '../logs/chunk.ts';
import { digestBytes, digestStoredLog } from '../logs/log-digest.ts';
import { appendChunks } from '../logs/log-store.ts';
import { LOG_MAX_BYTES } from '../logs/log-writer.ts';
import type { AgentWord } from './agent-word.ts';
import { raiseAlarm } from './alarm.ts';
import { appendJournal } from './append-journal.ts';
import { isFinal, mayMove } from './job-states.ts';
import type { JobState } from './job-states.ts';
import { storePapers } from './job-papers.ts';
import type { JobPapers } from './job-papers.ts';
import type { HeldJob } from './job-store.ts';
import { moveJob } from './move-job.ts';
import type { Move } from './move-job.ts';

/** What the agent may release, once the transaction is committed. */
export interface Acknowledged {
  receipt: boolean;
  nextSequence: number | null;
  ended: boolean;
}

/** What the transaction changed that others wait for. */
export interface Applied {
  acknowledged: Acknowledged;
  /** The job runs although it was closed here: it should stop. */
  shouldStop: boolean;
  logGrew: boolean;
  hasEnded: boolean;
  /** The end is stored, and the log is too long to be checked at once. */
  mustVerifyLog: boolean;
}

/** A log up to this length is read back and compared before the end is committed. */
const VERIFY_AT_ONCE_BYTES = 1024 * 1024;

/**
 * Stores what an agent said of one job, in the order it said it. `job` is locked and is brought up to date on
 * the way. Throws DomainError for what cannot be so; nothing is stored then.
 */
export async function applyAgentWords(
  queries: Queries,
  job: HeldJob,
  words: readonly AgentWord[],
): Promise<Applied> {
  const applied: Applied = {
    acknowledged: { receipt: false, nextSequence: null, ended: false },
    shouldStop: false,
    logGrew: false,
    hasEnded: false,
    mustVerifyLog: false,
  };
  // `job` says beforehand what each statement finds, so none waits for the one before.
  const to: Transaction = { queries, writes: new Writes() };
  for (const word of words) {
    if (word.type !== 'events') requireOwnOrder(job, word);
    if (word.type === 'accepted') await applyAccepted(to, job, word, applied);
    else if (word.type === 'refused') await applyRefused(to, job, word, applied);
    else if (word.type === 'events') applyEvents(to, job, word, applied);
    else await applyEnded(to, job, word, applied);
  }
  await to.writes.settled();
  applied.hasEnded = isFinal(job.state);
  return applied;
}

interface Transaction {
  queries: Queries;
  writes: Writes;
}

type Word<T extends AgentWord['type']> = Extract<AgentWord, { type: T }>;

async function applyAccepted(
  to: Transaction,
  job: HeldJob,
  word: Word<'accepted'>,
  applied: Applied,
): Promise<void> {
  applied.acknowledged.receipt = true;
  if (job.hasAccepted) return;
  job.hasAccepted = true;
  audit(to, job, 'job.accepted', { receipt: digestBytes([word.envelope]) });
  const papers = { acceptedReceipt: word.envelope };
  const isLate = job.state === 'running' || (isFinal(job.state) && job.hasFinal);
  if (isLate) to.writes.send(storePapers(to.queries, job.id, papers));
  else applied.shouldStop = !(await become(to, job, 'running', papers));
}

async function applyRefused(
  to: Transaction,
  job: HeldJob,
  word: Word<'refused'>,
  applied: Applied,
): Promise<void> {
  applied.acknowledged.receipt = true;
  if (job.hasFinal) return;
  job.hasFinal = true;
  const { reason, detail } = word.receipt;
  audit(to, job, 'job.refused', { reason, receipt: digestBytes([word.envelope]) });
  await become(to, job, 'refused', { finalReceipt: word.envelope }, reason, detail);
}

function applyEvents(to: Transaction, job: HeldJob, word: Word<'events'>, applied: Applied): void {
  const fresh = word.records.slice(Math.max(0, job.nextSequence - word.first));
  // After a gap the agent learns from the answer where to go on. After the end there is nothing to add.
  if (word.first <= job.nextSequence && fresh.length > 0 && !job.hasFinal) {
    to.writes.send(appendJournal(to.queries, job, fresh));
  }
  applied.acknowledged.nextSequence = job.nextSequence;
}

async function applyEnded(
  to: Transaction,
  job: HeldJob,
  word: Word<'ended'>,
  applied: Applied,
): Promise<void> {
  applied.acknowledged.receipt = true;
  applied.acknowledged.ended = true;
  if (job.hasFinal) return;
  const { receipt } = word;
  if (job.mode !== 'plan' && word.plan !== null) {
    throw new DomainError('invalid', 'plan_unexpected', 'Only a job of mode plan makes a plan.');
  }
  const offsetBefore = job.logOffset;
  // A power cut may take from the agent what it had sent already. What is stored stays, unproven.
  const isShorter = word.logLength < offsetBefore;
  const isTooLong = word.logLength > LOG_MAX_BYTES;
  // A backup that was put back had less of it than the agent was once told is safe.
  const isLost = word.logReleased && word.logLength > offsetBefore;
  const isUnproven = isShorter || isTooLong || isLost;
  if (!isUnproven) appendTail(to, job, word.tail, word.logLength);
  applied.logGrew = job.logOffset > offsetBefore;
  const isAllInTail = offsetBefore === 0;
  const verified = isUnproven ? false : await verifyLog(to.queries, job, word, isAllInTail);
  applied.mustVerifyLog = verified === null;
  job.hasFinal = true;
  audit(to, job, 'job.ended', {
    outcome: receipt.outcome,
    reason: receipt.reason,
    exitStatus: receipt.exitStatus,
    log: receipt.log.digest,
    receipt: digestBytes([word.envelope]),
  });
  for (const { name, digest } of word.sealedOutputs) {
    audit(to, job, 'credential.made', { name, digest });
  }
  if (word.sealedOutputs.length > 0) {
    to.writes.send(insertMade(to.queries, job, word.sealedOutputs));
  }
  if (isUnproven) {
    const content = { stored: offsetBefore, stated: word.logLength };
    const alarm = isShorter ? 'log_shorter' : isTooLong ? 'log_too_long' : 'log_lost';
    await raiseAlarm(to.queries, job, alarm, content);
  } else if (verified === false) {
    await raiseAlarm(to.queries, job, 'log_digest_mismatch', { stated: receipt.log.digest });
  }
  const papers = {
    finalReceipt: word.envelope,
    end: {
      exitStatus: receipt.exitStatus,
      result: word.result,
      planEnvelope: word.plan?.envelope ?? null,
      planDigest: word.plan?.digest ?? null,
      logLength: word.logLength,
      logDigest: receipt.log.digest,
      logVerified: verified,
    },
  };
  await become(to, job, receipt.outcome, papers, receipt.reason);
}

function appendTail(
  { queries, writes }: Transaction,
  job: HeldJob,
  tail: readonly Chunk[],
  logLength: number,
): void {
  const fresh: Chunk[] = [];
  for (const chunk of tail) {
    if (chunk.offset > job.logOffset) throw incomplete(job, chunk.offset);
    const trimmed = trimChunk(chunk, job.logOffset, job.logLines);
    if (trimmed === null) continue;
    fresh.push(trimmed);
    job.logOffset = trimmed.offset + trimmed.length;
    job.logLines = trimmed.firstLine + trimmed.lines;
  }
  if (job.logOffset !== logLength) throw incomplete(job, logLength);
  if (fresh.length === 0) return;
  const log = { jobId: job.id, day: job.day };
  const stored = appendChunks(queries, log, fresh[0]!.offset, fresh).then((isStored) => {
    if (!isStored) throw incomplete(job, logLength);
  });
  writes.send(stored);
}

/** Whether the stored log is what the receipt says; null when that takes longer than an end may. */
async function verifyLog(
  queries: Queries,
  job: HeldJob,
  word: Word<'ended'>,
  isAllInTail: boolean,
): Promise<boolean | null> {
  const stated = word.receipt.log.digest;
  if (isAllInTail) return digestBytes(pieces(word.tail, word.logLength)) === stated;
  if (word.logLength > VERIFY_AT_ONCE_BYTES) return null;
  const log = { jobId: job.id, day: job.day };
  return (await digestStoredLog(queries, log, word.logLength)) === stated;
}

/** The bytes of a tail that begins at 0, each once. */
function pieces(tail: readonly Chunk[], length: number): Buffer[] {
  let at = 0;
  const found = tail.flatMap((chunk) => {
    const bytes = chunk.bytes.subarray(Math.max(0, at - chunk.offset));
    at += bytes.length;
    return bytes;
  });
  return at === length ? found : [];
}

/**
 * Moves a job, over the states an answer to an order shows it to have passed. False, and an alarm, when it was
 * closed here and cannot go there any more; the papers are kept all the same.
 */
async function become(
  { queries, writes }: Transaction,
  job: HeldJob,
  to: JobState,
  papers: JobPapers,
  reason: string | null = null,
  detail = '',
): Promise<boolean> {
  const actor = actorOf(job);
  const step = (move: Omit<Move, 'actor'>) => {
    writes.send(moveJob(queries, job.id, { ...move, actor }));
    job.state = move.to;
  };
  if (job.state === 'queued') step({ to: 'delivered' });
  if (job.state === 'delivered' && to !== 'refused' && to !== 'running') {
    step({ to: 'running' });
  }
  if (mayMove(job.state, to)) {
    step({ to, reason, detail, papers });
    return true;
  }
  writes.send(storePapers(queries, job.id, papers));
  await raiseAlarm(queries, job, 'word_after_end', { state: job.state, said: to });
  return false;
}

function audit(
  { queries, writes }: Transaction,
  job: HeldJob,
  kind: string,
  content: Record<string, unknown>,
): void {
  const entry = appendAudit(queries, {
    chain: `intervention:${job.interventionId}`,
    actor: actorOf(job),
    kind,
    accountId: job.accountId,
    content: { job: job.id, action: findAction(job.action)?.id ?? job.action, ...content },
  });
  writes.send(entry);
}

function actorOf(job: HeldJob): string {
  return `agent:${job.agentId}`;
}

/** A refusal of what was not even an order cannot name it. */
function requireOwnOrder(job: HeldJob, word: Exclude<AgentWord, { type: 'events' }>): void {
  const { order } = word.receipt;
  if (order === job.orderDigest || (order === null && word.type === 'refused')) return;
  throw new DomainError('invalid', 'receipt_mismatch', 'The receipt is for another order.');
}

function incomplete(job: HeldJob, found: number): DomainError {
  return new DomainError(
    'conflict',
    'log_gap',
    `The log is stored up to byte ${job.logOffset}; the end of the job speaks of byte ${found}.`,
  );
}
