import { describe, expect, it } from 'vitest';
import { startAgentSide } from '../../test/fixtures/agent-side.ts';
import { idOf, reconnect, useJobFields } from '../../test/fixtures/job-fields.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import type { Field } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';

const scene = useJobFields();
const log = encodeLog('one\n', 'two\n');

describe('a job that is stopped', () => {
  it('before anybody was sent it ends at once, and is never sent', async () => {
    const { agent, session, orders } = await scene.newField();
    await session.close();
    const order = await orders.place();
    const { body } = await orders.cancel(order);
    expect(body).toMatchObject({ state: 'cancelled', reason: 'cancelled_before_start' });
    const back = await agent.connect();
    const next = await orders.place();
    await back.delivery(idOf(next));
    expect(back.answers.all.some(({ job }) => job?.jobId === idOf(order))).toBe(false);
  });

  it('while it runs is asked for at its agent, stronger but never weaker, and again after a cut', async () => {
    const field = await scene.newField();
    const { agent, orders } = field;
    const order = await begin(field);
    const cancels = (session: Field['session']) =>
      session.answers.all.flatMap(({ cancel }) =>
        cancel?.jobId === idOf(order) ? cancel.mode : [],
      );
    expect((await orders.cancel(order, 'after_step')).body.state).toBe('running');
    await expect.poll(() => cancels(field.session)).toEqual(['after_step']);
    await orders.cancel(order, 'now');
    await orders.cancel(order, 'after_step');
    await expect.poll(() => cancels(field.session)).toEqual(['after_step', 'now']);
    const { session } = await reconnect(field, [idOf(order)]);
    await expect.poll(() => cancels(session)).toEqual(['now']);
    session.send({ ended: agent.ended(order, log, { outcome: 'cancelled' }) });
    await session.acknowledged(idOf(order), 'ended');
    expect(await orders.state(order)).toBe('cancelled');
    expect(await orders.cancel(order)).toMatchObject({
      status: 409,
      body: { error: { code: 'job_ended' } },
    });
  });

  it('by its client is stopped too', async () => {
    const field = await scene.newField();
    const order = await begin(field);
    const { client } = field.orders.tenant;
    await client.post(`/api/v1/jobs/${idOf(order)}/cancel`, {});
    const asked = await field.session.answers.find(({ cancel }) => cancel);
    expect(asked).toEqual({ jobId: idOf(order), mode: 'now' });
  });

  it('here, though its agent had it already, raises an alarm and is stopped there', async () => {
    const { agent, session, orders } = await scene.newField();
    await session.close();
    const order = await orders.place();
    await orders.cancel(order);
    // As after a crash that forgot the delivery.
    const back = await agent.connect({ knownJobs: [idOf(order)] });
    back.send({ receipt: { jobId: idOf(order), receipt: Buffer.from(agent.accepted(order)) } });
    await back.answers.find(({ cancel }) => (cancel?.jobId === idOf(order) ? cancel : null));
    back.send({ ended: agent.ended(order, log, { outcome: 'cancelled' }) });
    await back.acknowledged(idOf(order), 'ended');
    expect(await orders.job(order)).toMatchObject({
      state: 'cancelled',
      reason: 'cancelled_before_start',
      log: { committedBytes: log.length, verified: true },
    });
    const events = await orders.events(order);
    expect(events.filter((event) => event.kind === 'alarm')).toHaveLength(2);
  });
});

describe('a job that is given up', () => {
  it('is corrected by the word of its agent, should it still come', async () => {
    const field = await scene.newField();
    const order = await begin(field);
    await field.session.close();
    const path = `/api/v1/jobs/${idOf(order)}/abandon`;
    const answer = await scene.operation.engineer.post(path);
    expect(answer).toMatchObject({ status: 200, body: { state: 'abandoned' } });
    const back = await field.agent.connect({ knownJobs: [idOf(order)] });
    back.send({ ended: field.agent.ended(order, log) });
    await back.acknowledged(idOf(order), 'ended');
    expect(await field.orders.path(order)).toEqual([
      'queued',
      'delivered',
      'running',
      'abandoned',
      'succeeded',
    ]);
    expect(await scene.operation.engineer.post(path)).toMatchObject({ status: 409 });
  });

  it('cannot be one that nobody was sent, and not by a client', async () => {
    const { session, orders } = await scene.newField();
    await session.close();
    const order = await orders.place();
    const path = `/api/v1/jobs/${idOf(order)}/abandon`;
    expect(await scene.operation.engineer.post(path)).toMatchObject({
      status: 409,
      body: { error: { code: 'job_not_sent' } },
    });
    expect((await orders.tenant.client.post(path)).status).toBe(403);
  });
});

describe('a job whose agent does not come', () => {
  it('expires when its time is over, not before', async () => {
    const { session, orders } = await scene.newField();
    await session.close();
    const now = Math.floor(Date.now() / 1000);
    const order = await orders.place({ issuedAt: now - 60, startBefore: now + 2 });
    const patient = await orders.place();
    expect(await orders.state(order)).toBe('queued');
    await expect.poll(() => orders.state(order), { timeout: 30_000 }).toBe('expired');
    expect(await orders.job(order)).toMatchObject({
      reason: 'start_before_passed',
      startedAt: null,
    });
    expect(await orders.state(patient)).toBe('queued');
  });

  it('expires after a restart too', async () => {
    const { session, orders } = await scene.newField();
    await session.close();
    const order = await orders.place();
    await scene.database.query(
      `update jobs set start_before = now() - interval '1 second' where id = $1`,
      [idOf(order)],
    );
    const again = await startAgentSide(scene.database, { folder: scene.side.folder });
    await expect.poll(() => orders.state(order), { timeout: 30_000 }).toBe('expired');
    await again.close();
  });

  it('and was sent before stays as it is: the agent may have it', async () => {
    const field = await scene.newField();
    const now = Math.floor(Date.now() / 1000);
    const order = await field.orders.place({ issuedAt: now - 60, startBefore: now + 1 });
    await field.session.delivery(idOf(order));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await field.orders.state(order)).toBe('delivered');
    const { session } = await reconnect(field, []);
    await session.delivery(idOf(order));
  });
});
