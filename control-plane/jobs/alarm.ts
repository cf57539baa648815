import { appendAudit } from '../audit/audit.ts';
import type { Queries } from '../database/database.ts';
import { appendEvents, countAlarms } from './job-events.ts';
import type { HeldJob } from './job-store.ts';

/** An agent that is broken must not fill the database with what is said of it. */
const ALARMS_PER_JOB = 20;

/** Notes on a job and in its audit chain that something is not as it should be; somebody must look. */
export async function raiseAlarm(
  queries: Queries,
  job: Pick<HeldJob, 'id' | 'accountId' | 'interventionId'>,
  code: string,
  content: Record<string, unknown>,
): Promise<void> {
  if ((await countAlarms(queries, job.id)) >= ALARMS_PER_JOB) return;
  await appendEvents(queries, job.id, 'alarm', 'system', [{ code, ...content }]);
  await appendAudit(queries, {
    chain: `intervention:${job.interventionId}`,
    actor: 'system',
    kind: `alarm.${code}`,
    accountId: job.accountId,
    content: { job: job.id, ...content },
  });
}
