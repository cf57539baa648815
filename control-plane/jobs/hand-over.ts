import { appendAudit } from '../audit/audit.ts';
import type { Queries } from '../database/database.ts';
import { appendEvents } from './job-events.ts';
import { moveJob } from './move-job.ts';

/** A job whose owner left: it goes on, and somebody else answers for it. */
export interface HandedOver {
  id: string;
  agentId: string;
}

interface OpenJob extends HandedOver {
  state: string;
  accountId: string;
  interventionId: string;
  isOwned: boolean;
}

/**
 * When engineers leave: what they proposed or approved is cancelled, because their signatures count no more;
 * what they answer for and has not ended is the lead's from now on. Orders that wait for their agent are left
 * to it: it refuses them, and signs that.
 *
 * @param lead id of a person; null leaves the jobs without an owner
 */
export async function handOverJobs(
  queries: Queries,
  people: readonly string[],
  lead: string | null,
  actor: string,
): Promise<HandedOver[]> {
  if (people.length === 0) return [];
  const jobs = await queries.query<OpenJob & Record<string, unknown>>(
    `select j.id, j.agent_id as "agentId", j.state, j.account_id as "accountId",
       j.intervention_id as "interventionId", j.owner_id = any($1::uuid[]) as "isOwned"
     from jobs j
     where j.ended_at is null and (j.owner_id = any($1::uuid[]) or (j.state = 'proposed' and exists (
       select from job_signatures s where s.job_id = j.id and s.person_id = any($1::uuid[]))))
     order by j.id for update`,
    [people],
  );
  for (const job of jobs) {
    if (job.state === 'proposed') {
      await moveJob(queries, job.id, { to: 'cancelled', actor, reason: 'engineer_removed' });
    } else {
      await queries.query('update jobs set owner_id = $2 where id = $1', [job.id, lead]);
      await appendEvents(queries, job.id, 'state', actor, [
        { to: job.state, owner: await nameOf(queries, lead) },
      ]);
    }
    await appendAudit(queries, {
      chain: `intervention:${job.interventionId}`,
      actor,
      kind: job.state === 'proposed' ? 'job.cancelled' : 'job.handed_over',
      accountId: job.accountId,
      content: { job: job.id, ...(job.state !== 'proposed' && { owner: lead }) },
    });
  }
  return jobs.map(({ id, agentId }) => ({ id, agentId }));
}

async function nameOf(queries: Queries, person: string | null): Promise<string | null> {
  if (person === null) return null;
  const rows = await queries.query<{ name: string }>('select name from people where id = $1', [
    person,
  ]);
  return rows[0]?.name ?? null;
}
