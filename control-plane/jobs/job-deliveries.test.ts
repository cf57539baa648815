import { describe, expect, it } from 'vitest';
import { startAgentSide } from '../../test/fixtures/agent-side.ts';
import { idOf, reconnect, useJobFields } from '../../test/fixtures/job-fields.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';

const scene = useJobFields();
const log = encodeLog('one\n', 'two\n');

describe('an agent that holds more jobs than one answer has room for', () => {
  it('is told of the newest, and is served like any other', async () => {
    const field = await scene.newField();
    const order = await begin(field);
    const older = Array.from({ length: 1_500 }, (_, at) => {
      return `00000000-0000-7000-8000-${String(at).padStart(12, '0')}`;
    });
    const { session, positions } = await reconnect(field, [...older, idOf(order)]);
    expect(positions).toHaveLength(1_000);
    expect(positions).toContainEqual(
      expect.objectContaining({ jobId: idOf(order), known: true, ended: false }),
    );
    session.send({ ended: field.agent.ended(order, log) });
    await session.acknowledged(idOf(order), 'ended');
  });
});

describe('an agent whose wake-up was lost', () => {
  it('gets its jobs a few seconds later', async () => {
    const { session, orders } = await scene.newField();
    // Another control plane on the same database, which wakes nobody here.
    const other = await startAgentSide(scene.database, { folder: scene.side.folder });
    const order = orders.sign();
    const answer = await other.api.request('POST', '/api/v1/jobs', scene.operation.engineer.token, {
      order: Buffer.from(order.envelope).toString('base64'),
    });
    expect(answer.status).toBe(201);
    await session.delivery(idOf(order));
    await other.close();
  });

  it('is not forgotten: two control planes never both send a job', async () => {
    const { agent, session, orders } = await scene.newField();
    await session.close();
    const order = await orders.place();
    const claims = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const { claimQueuedJobs } = await import('./delivery-store.ts');
        return claimQueuedJobs(scene.database, agent.agentId);
      }),
    );
    expect(claims.flat().map((row) => row.id)).toEqual([idOf(order)]);
  });
});

describe('many orders at once', () => {
  it('all reach their agent, each once', async () => {
    const field = await scene.newField();
    const placed = await Promise.all(
      Array.from({ length: 30 }, async () => (await field.orders.place()).payload.job),
    );
    for (const jobId of placed) await field.session.delivery(jobId);
    const sent = field.session.answers.all.flatMap(({ job }) => job?.jobId ?? []);
    expect(sent.sort()).toEqual(placed.sort());
  });
});
