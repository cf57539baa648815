import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { openEvents } from '../../test/fixtures/event-stream.ts';
import type { EventStream } from '../../test/fixtures/event-stream.ts';
import { begin, takeTheField } from '../../test/fixtures/ordered-jobs.ts';
import type { Field, JobView } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';
import type { SignedDocument } from '../../test/fixtures/trust-world.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let field: Field;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
  field = await takeTheField(side, operation, operation.tenant);
});
afterAll(async () => {
  field.agent.close();
  await side.close();
});

const log = encodeLog('done\n');

async function end(order: SignedDocument<'order'>): Promise<void> {
  const { agent, session } = field;
  session.send({ ended: agent.ended(order, log) });
  await session.acknowledged(order.payload.job, 'ended');
}

async function ask(
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: object,
): Promise<{ response: Response; job: JobView; ms: number }> {
  const started = performance.now();
  const response = await side.api.app.request(path, {
    method,
    headers: {
      authorization: `Bearer ${operation.engineer.token}`,
      'content-type': 'application/json',
      ...headers,
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  const job = (await response.json()) as JobView;
  return { response, job, ms: performance.now() - started };
}

describe('the list of jobs', () => {
  it('is not continued from a time that no job can have', async () => {
    const id = '00000000-0000-7000-8000-000000000000';
    for (const time of ['+275760-09-13T00:00:00.000Z', '-271821-04-20T00:00:00.000Z', 'soon']) {
      const after = Buffer.from(`${time}/${id}`).toString('base64url');
      const answer = await operation.engineer.get(`/api/v1/jobs?after=${after}`);
      expect(answer).toMatchObject({ status: 400, body: { error: { code: 'cursor_invalid' } } });
    }
  });
});

describe('waiting for a job', () => {
  it('answers with the job as it ended, as soon as it did', async () => {
    const order = field.orders.sign();
    const asked = ask(
      'POST',
      '/api/v1/jobs',
      { prefer: 'wait=20' },
      { order: Buffer.from(order.envelope).toString('base64') },
    );
    await field.session.delivery(order.payload.job);
    await end(order);
    const { response, job, ms } = await asked;
    expect(response.headers.get('preference-applied')).toBe('wait=20');
    expect(job.state).toBe('succeeded');
    expect(ms).toBeLessThan(3_000);
  });

  it('answers with the job as it is when the time is over', async () => {
    const order = await begin(field);
    const path = `/api/v1/jobs/${order.payload.job}`;
    const { job, ms } = await ask('GET', path, { prefer: 'wait=1' });
    expect(job.state).toBe('running');
    expect(ms).toBeGreaterThan(950);
    await end(order);
    const after = await ask('GET', path, { prefer: 'wait=20' });
    expect(after.job.state).toBe('succeeded');
    expect(after.ms).toBeLessThan(1_000);
  });

  it('sees an end whose wake-up was lost', async () => {
    const order = await begin(field);
    const asked = ask('GET', `/api/v1/jobs/${order.payload.job}`, { prefer: 'wait=20' });
    await sleep(200);
    await test.database.query(`update jobs set state = 'failed', ended_at = now() where id = $1`, [
      order.payload.job,
    ]);
    const { job, ms } = await asked;
    expect(job.state).toBe('failed');
    expect(ms).toBeLessThan(7_000);
  });
});

describe('the events of a job', () => {
  const open = (order: SignedDocument<'order'>, seen?: string): Promise<EventStream> =>
    openEvents(side.api, operation.engineer, `/api/v1/jobs/${order.payload.job}/events`, seen);

  it('are streamed as they come, with progress between them, until the job has ended', async () => {
    const order = await begin(field);
    const jobId = order.payload.job;
    const stream = await open(order);
    for (const to of ['queued', 'delivered', 'running']) {
      expect(await stream.next()).toMatchObject({ event: 'state', data: { content: { to } } });
    }
    field.session.send({ progress: { jobId, phase: 'check', percent: 40, text: 'pass 2' } });
    expect(await stream.next()).toEqual({
      event: 'progress',
      id: undefined,
      data: { phase: 'check', percent: 40, text: 'pass 2' },
    });
    const record = { type: 'step_started', step: 'repair' };
    field.session.send({
      events: { jobId, firstSequence: 0, records: [Buffer.from(JSON.stringify(record))] },
    });
    expect(await stream.next()).toMatchObject({
      event: 'journal',
      id: '4',
      data: { content: { sequence: 0, record } },
    });
    await end(order);
    expect(await stream.next()).toMatchObject({
      event: 'state',
      id: '5',
      data: { content: { from: 'running', to: 'succeeded' } },
    });
    expect(await stream.next()).toBeNull();
  });

  it('go on after the last one that was seen, also when that was the last of all', async () => {
    const order = await begin(field);
    await end(order);
    const stream = await open(order, '2');
    expect(await stream.next()).toMatchObject({ id: '3', data: { content: { to: 'running' } } });
    expect(await stream.next()).toMatchObject({ id: '4' });
    expect(await stream.next()).toBeNull();
    expect(await (await open(order, '4')).next()).toBeNull();
    expect(await (await open(order, 'nonsense')).next()).toMatchObject({ id: '1' });
  });

  it('leave nothing behind when the reader leaves', async () => {
    const order = await begin(field);
    const { bus } = side.api;
    const subscribe = bus.subscribe.bind(bus);
    let listening = 0;
    bus.subscribe = (...args) => {
      listening++;
      const stop = subscribe(...args);
      return () => {
        listening--;
        stop();
      };
    };
    const stream = await open(order);
    await stream.next();
    expect(listening).toBe(1);
    await stream.close();
    await expect.poll(() => listening).toBe(0);
    bus.subscribe = subscribe;
    await end(order);
  });

  it('are a list for those who do not follow', async () => {
    const order = await begin(field);
    const path = `/api/v1/jobs/${order.payload.job}/events?after=1`;
    const { body } = await operation.engineer.get<{ items: object[]; next: null }>(path);
    expect(body.items).toHaveLength(2);
    expect(body.next).toBeNull();
    await end(order);
  });
});
