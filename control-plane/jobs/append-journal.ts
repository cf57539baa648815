import type { Queries } from '../database/database.ts';
import { raiseAlarm } from './alarm.ts';
import { appendEvents } from './job-events.ts';
import type { HeldJob } from './job-store.ts';

const JOURNAL_MAX = { records: 100_000, bytes: 4 * 1024 * 1024 };

/**
 * Adds records to a job's journal and brings `job` up to date. What lies beyond the limit counts as taken but is
 * not stored, so that its agent does not send it for ever; the job gets one alarm.
 */
export async function appendJournal(
  queries: Queries,
  job: HeldJob,
  records: readonly Record<string, unknown>[],
): Promise<void> {
  const isFull = () =>
    job.nextSequence >= JOURNAL_MAX.records || job.journalBytes >= JOURNAL_MAX.bytes;
  const wasFull = isFull();
  const kept: Record<string, unknown>[] = [];
  for (const record of records) {
    if (!isFull()) {
      kept.push({ sequence: job.nextSequence, record });
      job.journalBytes += Buffer.byteLength(JSON.stringify(record));
    }
    job.nextSequence++;
  }
  const position = { nextSequence: job.nextSequence, bytes: job.journalBytes };
  await appendEvents(queries, job.id, 'journal', `agent:${job.agentId}`, kept, position);
  if (isFull() && !wasFull) {
    await raiseAlarm(queries, job, 'journal_too_long', { bytes: job.journalBytes });
  }
}
