import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { Orders } from '../../test/fixtures/ordered-jobs.ts';
import { TestAgent } from '../../test/fixtures/test-agent.ts';
import { jobState } from '../http/schemas.ts';
import { isFinal, jobStates, mayMove } from './job-states.ts';
import type { JobState } from './job-states.ts';
import { findJob } from './job-store.ts';
import { IllegalMoveError, moveJob } from './move-job.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let jobId: string;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  const operation = await createOperation(side.api);
  await TestAgent.enroll(side, operation.tenant.world, operation.tenant.client);
  jobId = (await new Orders(operation).place()).payload.job;
});
afterAll(() => side.close());

async function put(state: JobState): Promise<number> {
  const rows = await test.database.query<{ events: number }>(
    `update jobs set state = $2, ended_at = case when $3 then now() end where id = $1
     returning next_event as events`,
    [jobId, state, isFinal(state)],
  );
  return rows[0]!.events;
}

describe('states of a job', () => {
  it('are those the REST interface knows', () => {
    expect([...jobStates].sort()).toEqual([...jobState.options].sort());
  });

  it('once final change no more, but that an agent corrects what was abandoned', () => {
    const left = jobStates.filter(
      (from) => isFinal(from) && jobStates.some((to) => mayMove(from, to)),
    );
    expect(left).toEqual(['abandoned']);
    expect(mayMove('abandoned', 'queued')).toBe(false);
  });

  it('never begin to run again', () => {
    const toRunning = jobStates.filter((from) => mayMove(from, 'running'));
    expect(toRunning).toEqual(['delivered', 'abandoned']);
    expect(jobStates.filter((from) => mayMove(from, 'delivered'))).toEqual(['queued']);
  });

  const pairs = jobStates.flatMap((from) => jobStates.map((to) => [from, to] as const));
  it.each(pairs)('from %s to %s', async (from, to) => {
    const events = await put(from);
    const moved = moveJob(test.database, jobId, { to, actor: 'system', reason: 'tried' });
    if (!mayMove(from, to)) {
      await expect(moved).rejects.toBeInstanceOf(IllegalMoveError);
      const job = (await findJob(test.database, jobId))!;
      expect(job.state).toBe(from);
      return;
    }
    await moved;
    const job = (await findJob(test.database, jobId))!;
    expect(job).toMatchObject({ state: to, reason: 'tried' });
    expect(job.endedAt !== null).toBe(isFinal(to));
    const [event] = await test.database.query<{ content: object; actor: string }>(
      'select content, actor from job_events where job_id = $1 and sequence = $2',
      [jobId, events],
    );
    expect(event).toEqual({ content: { from, to, reason: 'tried' }, actor: 'system' });
  });

  it('change once when several want it at once, and each change is an event', async () => {
    const events = await put('queued');
    const tries = await Promise.allSettled(
      Array.from({ length: 8 }, () =>
        moveJob(test.database, jobId, { to: 'delivered', actor: 'system' }),
      ),
    );
    expect(tries.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    const rows = await test.database.query(
      'select from job_events where job_id = $1 and sequence >= $2',
      [jobId, events],
    );
    expect(rows).toHaveLength(1);
  });
});
