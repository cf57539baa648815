import { describe, expect, it } from 'vitest';
import { alarms, idOf, reconnect, useJobFields } from '../../test/fixtures/job-fields.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog, sha256 } from '../../test/fixtures/test-agent.ts';

const scene = useJobFields();
const log = encodeLog('one\n', 'two\n');

describe('a job', () => {
  it('goes from its order to the word of its agent, and every step is told', async () => {
    const field = await scene.newField();
    const { agent, session, orders } = field;
    const grant = orders.tenant.world.signGrant();
    await scene.side.api.services.grants.add(orders.tenant.client.caller, grant.envelope);
    const order = await orders.place({ authorization: grant.digest });
    const delivery = await session.delivery(idOf(order));
    expect(delivery.order).toEqual(Buffer.from(order.envelope));
    expect(delivery.authorization).toEqual(Buffer.from(grant.envelope));
    expect(delivery.certifications).toContainEqual(Buffer.from(scene.operation.certified.envelope));
    expect(delivery.certifications).toHaveLength(2);
    expect(delivery.auditHead).toMatch(/^[0-9a-f]{64}$/);

    const accepted = Buffer.from(agent.accepted(order));
    session.send({ receipt: { jobId: idOf(order), receipt: accepted } });
    await session.acknowledged(idOf(order), 'receipt');
    expect(await orders.state(order)).toBe('running');

    const end = agent.ended(order, log);
    session.send({ ended: end });
    await session.acknowledged(idOf(order), 'ended');
    const job = await orders.job(order);
    expect(job).toMatchObject({
      state: 'succeeded',
      exitStatus: 0,
      result: { exitStatus: 0, signal: null },
      log: {
        committedBytes: log.length,
        lines: 2,
        bytes: log.length,
        digest: sha256(log),
        verified: true,
      },
    });
    expect([job.deliveredAt, job.startedAt, job.endedAt].every((at) => at !== null)).toBe(true);
    expect(await orders.path(order)).toEqual(['queued', 'delivered', 'running', 'succeeded']);
    const { body } = await scene.operation.engineer.get<Record<string, string>>(
      `/api/v1/jobs/${idOf(order)}/documents`,
    );
    expect(Buffer.from(body['accepted']!, 'base64')).toEqual(accepted);
    expect(Buffer.from(body['final']!, 'base64')).toEqual(end.receipt);
    expect(Buffer.from(body['order']!, 'base64')).toEqual(Buffer.from(order.envelope));
  });

  it('that was over at once is stored from one message, and told like any other', async () => {
    const { agent, session, orders } = await scene.newField();
    const order = await orders.place();
    await session.delivery(idOf(order));
    const records = [{ type: 'received' }, { type: 'started' }].map((record) =>
      Buffer.from(JSON.stringify(record)),
    );
    const said = session.answers.all.length;
    session.send({
      ended: {
        ...agent.ended(order, log),
        accepted: Buffer.from(agent.accepted(order)),
        events: { jobId: '', firstSequence: 0, records },
      },
    });
    await session.acknowledged(idOf(order), 'ended');
    const answers = session.answers.all.slice(said).filter((answer) => answer.acknowledged);
    expect(answers.map((answer) => answer.acknowledged)).toMatchObject([
      { receipt: true, nextSequence: 2, ended: true },
    ]);
    expect(await orders.path(order)).toEqual(['queued', 'delivered', 'running', 'succeeded']);
    const journal = (await orders.events(order)).filter((event) => event.kind === 'journal');
    expect(journal).toHaveLength(2);
    expect((await orders.job(order)).log).toMatchObject({ verified: true });
  });

  it('whose agent says an untrue acceptance with its end gets the end, and an alarm', async () => {
    const field = await scene.newField();
    const { agent, session, orders } = field;
    const order = await orders.place();
    const other = await orders.place();
    await session.delivery(idOf(order));
    session.send({
      ended: { ...agent.ended(order, log), accepted: Buffer.from(agent.accepted(other)) },
    });
    await session.acknowledged(idOf(order), 'ended');
    expect(await orders.state(order)).toBe('succeeded');
    await expect.poll(() => alarms(field, order)).toEqual(['word_rejected']);
  });

  it('waits for its agent, and is sent when it comes', async () => {
    const { agent, session, orders } = await scene.newField();
    await session.close();
    const order = await orders.place();
    expect(await orders.state(order)).toBe('queued');
    const back = await agent.connect();
    await back.delivery(idOf(order));
    await expect.poll(() => orders.state(order)).toBe('delivered');
  });

  it('is sent again to an agent that may not have got it, not to one that holds it', async () => {
    const { agent, session, orders } = await scene.newField();
    const lost = await orders.place();
    const held = await orders.place();
    await session.delivery(idOf(lost));
    await session.delivery(idOf(held));
    await session.close();
    const back = await agent.connect({ knownJobs: [idOf(held)] });
    await back.delivery(idOf(lost));
    const next = await orders.place();
    await back.delivery(idOf(next));
    const sent = back.answers.all.flatMap(({ job }) => job?.jobId ?? []);
    expect(sent).toEqual([idOf(lost), idOf(next)]);
    expect(await orders.path(lost)).toEqual(['queued', 'delivered']);
  });

  it('that its agent refuses keeps the reason and the receipt', async () => {
    const field = await scene.newField();
    const { agent, session, orders } = field;
    const order = await orders.place();
    await session.delivery(idOf(order));
    const receipt = Buffer.from(agent.refused(order, 'policy_denied'));
    session.send({ receipt: { jobId: idOf(order), receipt } });
    await session.acknowledged(idOf(order), 'receipt');
    expect(await orders.job(order)).toMatchObject({
      state: 'refused',
      reason: 'policy_denied',
      detail: 'not here',
      startedAt: null,
    });
    const back = await reconnect(field, [idOf(order)]);
    expect(back.positions).toMatchObject([{ known: true, ended: true }]);
  });

  it('whose acceptance got lost is running all the same when its end comes', async () => {
    const { agent, session, orders } = await scene.newField();
    const order = await orders.place();
    await session.delivery(idOf(order));
    session.send({ ended: agent.ended(order, log, { outcome: 'failed', reason: 'exit_status' }) });
    await session.acknowledged(idOf(order), 'ended');
    expect(await orders.path(order)).toEqual(['queued', 'delivered', 'running', 'failed']);
    expect(await orders.job(order)).toMatchObject({ reason: 'exit_status', exitStatus: 1 });
  });

  it('is answered again for every word that comes again, and changes no more', async () => {
    const { agent, session, orders } = await scene.newField();
    const order = await orders.place();
    await session.delivery(idOf(order));
    const receipt = Buffer.from(agent.accepted(order));
    const ended = agent.ended(order, log);
    for (let time = 0; time < 3; time++) {
      session.send({ receipt: { jobId: idOf(order), receipt } });
      session.send({ ended });
    }
    const acknowledged = () =>
      session.answers.all.filter((message) => message.acknowledged?.ended).length;
    await expect.poll(acknowledged).toBeGreaterThan(0);
    session.send({ ended });
    const before = session.answers.all.length;
    await session.answers.find(({ acknowledged: word }) => word?.ended || null, before);
    expect(await orders.path(order)).toEqual(['queued', 'delivered', 'running', 'succeeded']);
    expect((await orders.job(order)).log.committedBytes).toBe(log.length);
  });

  it('survives a result that no database can store as it is', async () => {
    const field = await scene.newField();
    const order = await begin(field);
    const result = { text: 'a\0b\ud800', ['k\0']: [1e300, '💥'] };
    field.session.send({ ended: field.agent.ended(order, log, { result }) });
    await field.session.acknowledged(idOf(order), 'ended');
    expect((await field.orders.job(order)).result).toEqual({
      text: 'a\ufffdb\ufffd',
      'k\ufffd': [1e300, '💥'],
    });
  });
});

describe('a plan', () => {
  it('comes with the end of its job, goes with the order that names it, and may be made twice', async () => {
    const field = await scene.newField();
    const { agent, session, orders } = field;
    const plan = orders.tenant.world.signPlan();
    for (let time = 0; time < 2; time++) {
      const planned = await begin(field, { action: 'filesystem.repair', mode: 'plan' });
      session.send({ ended: agent.ended(planned, log, { plan }) });
      await session.acknowledged(idOf(planned), 'ended');
      expect((await orders.job(planned)).planDigest).toBe(plan.digest);
    }
    const apply = await orders.place({ action: 'filesystem.repair', plan: plan.digest });
    expect((await session.delivery(idOf(apply))).plan).toEqual(Buffer.from(plan.envelope));
  });

  it('for another server is not taken', async () => {
    const field = await scene.newField();
    const planned = await begin(field, { action: 'filesystem.repair', mode: 'plan' });
    const plan = field.orders.tenant.world.signPlan({ server: scene.operation.tenant.serverId });
    field.session.send({ ended: field.agent.ended(planned, log, { plan }) });
    await expect.poll(() => alarms(field, planned)).toEqual(['word_rejected']);
    expect(await field.orders.state(planned)).toBe('running');
  });

  it('that was applied shows by which job it was undone', async () => {
    const field = await scene.newField();
    const done = await begin(field);
    field.session.send({ ended: field.agent.ended(done, log) });
    await field.session.acknowledged(idOf(done), 'ended');
    const undo = { action: 'filesystem.repair', mode: 'undo', undoes: idOf(done) } as const;
    const undoneBy = async () => (await field.orders.job(done)).undoneByJobId;
    const first = await begin(field, undo);
    expect(await undoneBy()).toBe(idOf(first));
    const failed = { reason: 'changed_since', outcome: 'failed' } as const;
    field.session.send({ ended: field.agent.ended(first, log, failed) });
    await field.session.acknowledged(idOf(first), 'ended');
    expect(await undoneBy()).toBeNull();
    const second = await begin(field, undo);
    expect(await undoneBy()).toBe(idOf(second));
    field.session.send({ ended: field.agent.ended(second, log) });
    await field.session.acknowledged(idOf(second), 'ended');
    expect(await undoneBy()).toBe(idOf(second));
  });
});

describe('progress of a job', () => {
  it('is the latest, cut to bounds, and is gone when the job has ended', async () => {
    const field = await scene.newField();
    const { agent, session, orders } = field;
    const order = await begin(field);
    const jobId = idOf(order);
    session.send({ progress: { jobId, phase: 'check', text: 'first' } });
    session.send({ progress: { jobId, phase: 'p'.repeat(500), percent: 250, text: 'a\0' } });
    await expect
      .poll(async () => (await orders.job(order)).progress)
      .toEqual({ phase: `${'p'.repeat(63)}…`, percent: 100, text: 'a\ufffd' });
    session.send({ ended: agent.ended(order, log) });
    await session.acknowledged(jobId, 'ended');
    expect((await orders.job(order)).progress).toBeNull();
  });
});
