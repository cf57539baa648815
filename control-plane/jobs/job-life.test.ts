import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signDocument } from '../../proto/documents/document.ts';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { begin, takeTheField } from '../../test/fixtures/ordered-jobs.ts';
import type { EventView, Field } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog, sha256 } from '../../test/fixtures/test-agent.ts';
import type { TestAgent } from '../../test/fixtures/test-agent.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { SignedDocument } from '../../test/fixtures/trust-world.ts';

import { LOG_MAX_BYTES } from '../logs/log-writer.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
const fields: Field[] = [];

beforeAll(async () => {
  side = await startAgentSide(test.database);
  operation = await createOperation(side.api);
});
afterAll(async () => {
  for (const { agent } of fields) agent.close();
  await side.close();
});

/** An agent with a session, on a server of its own. */
async function newField(): Promise<Field> {
  const field = await takeTheField(side, operation, await operation.addServer(operation.tenant));
  fields.push(field);
  return field;
}

const idOf = (order: SignedDocument<'order'>) => order.payload.job;
const log = encodeLog('one\n', 'two\n');

async function alarms({ orders }: Field, order: SignedDocument<'order'>): Promise<unknown[]> {
  const events = await orders.events(order);
  return events.filter((event) => event.kind === 'alarm').map((event) => event.content['code']);
}

describe('a job', () => {
  it('goes from its order to the word of its agent, and every step is told', async () => {
    const field = await newField();
    const { agent, session, orders } = field;
    const grant = orders.tenant.world.signGrant();
    await side.api.services.grants.add(orders.tenant.client.caller, grant.envelope);
    const order = await orders.place({ authorization: grant.digest });
    const delivery = await session.delivery(idOf(order));
    expect(delivery.order).toEqual(Buffer.from(order.envelope));
    expect(delivery.authorization).toEqual(Buffer.from(grant.envelope));
    expect(delivery.certifications).toContainEqual(Buffer.from(operation.certified.envelope));
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
    const { body } = await operation.engineer.get<Record<string, string>>(
      `/api/v1/jobs/${idOf(order)}/documents`,
    );
    expect(Buffer.from(body['accepted']!, 'base64')).toEqual(accepted);
    expect(Buffer.from(body['final']!, 'base64')).toEqual(end.receipt);
    expect(Buffer.from(body['order']!, 'base64')).toEqual(Buffer.from(order.envelope));
  });

  it('that was over at once is stored from one message, and told like any other', async () => {
    const { agent, session, orders } = await newField();
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
    const field = await newField();
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
    const { agent, session, orders } = await newField();
    await session.close();
    const order = await orders.place();
    expect(await orders.state(order)).toBe('queued');
    const back = await agent.connect();
    await back.delivery(idOf(order));
    await expect.poll(() => orders.state(order)).toBe('delivered');
  });

  it('is sent again to an agent that may not have got it, not to one that holds it', async () => {
    const { agent, session, orders } = await newField();
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
    const field = await newField();
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
    const { agent, session, orders } = await newField();
    const order = await orders.place();
    await session.delivery(idOf(order));
    session.send({ ended: agent.ended(order, log, { outcome: 'failed', reason: 'exit_status' }) });
    await session.acknowledged(idOf(order), 'ended');
    expect(await orders.path(order)).toEqual(['queued', 'delivered', 'running', 'failed']);
    expect(await orders.job(order)).toMatchObject({ reason: 'exit_status', exitStatus: 1 });
  });

  it('is answered again for every word that comes again, and changes no more', async () => {
    const { agent, session, orders } = await newField();
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
    const field = await newField();
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

async function reconnect({ agent, session }: Field, knownJobs: string[]) {
  await session.close();
  const back = await agent.connect({ knownJobs });
  const { positions } = back.answers.all[0]!.welcome!;
  return { session: back, positions };
}

describe('a plan', () => {
  it('comes with the end of its job, goes with the order that names it, and may be made twice', async () => {
    const field = await newField();
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
    const field = await newField();
    const planned = await begin(field, { action: 'filesystem.repair', mode: 'plan' });
    const plan = field.orders.tenant.world.signPlan({ server: operation.tenant.serverId });
    field.session.send({ ended: field.agent.ended(planned, log, { plan }) });
    await expect.poll(() => alarms(field, planned)).toEqual(['word_rejected']);
    expect(await field.orders.state(planned)).toBe('running');
  });

  it('that was applied shows by which job it was undone', async () => {
    const field = await newField();
    const done = await begin(field);
    field.session.send({ ended: field.agent.ended(done, log) });
    await field.session.acknowledged(idOf(done), 'ended');
    const undo = await begin(field, {
      action: 'filesystem.repair',
      mode: 'undo',
      undoes: idOf(done),
    });
    expect((await field.orders.job(done)).undoneByJobId).toBe(idOf(undo));
  });
});

describe('a job that is stopped', () => {
  it('before anybody was sent it ends at once, and is never sent', async () => {
    const { agent, session, orders } = await newField();
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
    const field = await newField();
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
    const field = await newField();
    const order = await begin(field);
    const { client } = field.orders.tenant;
    await client.post(`/api/v1/jobs/${idOf(order)}/cancel`, {});
    const asked = await field.session.answers.find(({ cancel }) => cancel);
    expect(asked).toEqual({ jobId: idOf(order), mode: 'now' });
  });

  it('here, though its agent had it already, raises an alarm and is stopped there', async () => {
    const { agent, session, orders } = await newField();
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
    const field = await newField();
    const order = await begin(field);
    await field.session.close();
    const path = `/api/v1/jobs/${idOf(order)}/abandon`;
    const answer = await operation.engineer.post(path);
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
    expect(await operation.engineer.post(path)).toMatchObject({ status: 409 });
  });

  it('cannot be one that nobody was sent, and not by a client', async () => {
    const { session, orders } = await newField();
    await session.close();
    const order = await orders.place();
    const path = `/api/v1/jobs/${idOf(order)}/abandon`;
    expect(await operation.engineer.post(path)).toMatchObject({
      status: 409,
      body: { error: { code: 'job_not_sent' } },
    });
    expect((await orders.tenant.client.post(path)).status).toBe(403);
  });
});

describe('a job whose agent does not come', () => {
  it('expires when its time is over, not before', async () => {
    const { session, orders } = await newField();
    await session.close();
    const now = Math.floor(Date.now() / 1000);
    const order = await orders.place({ issuedAt: now - 60, startBefore: now + 2 });
    const patient = await orders.place();
    expect(await orders.state(order)).toBe('queued');
    await expect.poll(() => orders.state(order), { timeout: 4_000 }).toBe('expired');
    expect(await orders.job(order)).toMatchObject({
      reason: 'start_before_passed',
      startedAt: null,
    });
    expect(await orders.state(patient)).toBe('queued');
  });

  it('expires after a restart too', async () => {
    const { session, orders } = await newField();
    await session.close();
    const order = await orders.place();
    await test.database.query(
      `update jobs set start_before = now() - interval '1 second' where id = $1`,
      [idOf(order)],
    );
    const again = await startAgentSide(test.database, { folder: side.folder });
    await expect.poll(() => orders.state(order), { timeout: 2_000 }).toBe('expired');
    await again.close();
  });

  it('and was sent before stays as it is: the agent may have it', async () => {
    const field = await newField();
    const now = Math.floor(Date.now() / 1000);
    const order = await field.orders.place({ issuedAt: now - 60, startBefore: now + 1 });
    await field.session.delivery(idOf(order));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await field.orders.state(order)).toBe('delivered');
    const { session } = await reconnect(field, []);
    await session.delivery(idOf(order));
  });
});

describe('the journal of a job', () => {
  it('is stored once and in order, whatever is sent again; after a gap the answer says where to go on', async () => {
    const field = await newField();
    const { session, orders } = field;
    const order = await begin(field);
    const records = Array.from({ length: 6 }, (_, at) =>
      Buffer.from(JSON.stringify({ type: 'step_started', at, step: `s${at}` })),
    );
    const send = async (from: number, to: number) => {
      const before = session.answers.all.length;
      session.send({
        events: { jobId: idOf(order), firstSequence: from, records: records.slice(from, to) },
      });
      const word = await session.answers.find(({ acknowledged }) => acknowledged, before);
      return word.nextSequence;
    };
    expect(await send(0, 2)).toBe(2);
    expect(await send(0, 2)).toBe(2);
    expect(await send(4, 6)).toBe(2);
    expect(await send(1, 4)).toBe(4);
    expect(await send(3, 6)).toBe(6);
    const events = await orders.events(order);
    const journal = events.filter((event) => event.kind === 'journal');
    expect(journal.map((event) => event.content['sequence'])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(journal.map((event) => event.content['record'])).toEqual(
      records.map((record) => JSON.parse(record.toString()) as object),
    );
    const back = await reconnect(field, [idOf(order)]);
    expect(back.positions).toMatchObject([{ known: true, ended: false, nextSequence: 6 }]);
  });

  it('is stored up to a limit, with an alarm; what lies beyond is acknowledged and forgotten', async () => {
    const field = await newField();
    const { session } = field;
    const order = await begin(field);
    const jobId = idOf(order);
    const record = Buffer.from(JSON.stringify({ type: 'step_ended', detail: 'x'.repeat(16_000) }));
    const send = async (firstSequence: number, count: number) => {
      const before = session.answers.all.length;
      const records = Array.from({ length: count }, () => record);
      session.send({ events: { jobId, firstSequence, records } });
      return (await session.answers.find(({ acknowledged }) => acknowledged, before)).nextSequence;
    };
    for (let first = 0; first < 300; first += 15) expect(await send(first, 15)).toBe(first + 15);
    const [stored] = await test.database.query(
      `select count(*) as count, sum(octet_length(content::text))::int < 4500000 as fits
       from job_events where job_id = $1 and kind = 'journal'`,
      [jobId],
    );
    expect(stored).toMatchObject({ fits: true });
    expect(Number(stored!['count'])).toBeLessThan(300);
    const [told] = await test.database.query(
      `select count(*) as count from job_events where job_id = $1 and kind = 'alarm'
       and content->>'code' = 'journal_too_long'`,
      [jobId],
    );
    expect(Number(told!['count'])).toBe(1);
    const pages: number[] = [];
    for (let after: string | null = '0'; after !== null;) {
      const { body }: { body: { items: EventView[]; next: string | null } } =
        await operation.engineer.get(`/api/v1/jobs/${jobId}/events?after=${after}`);
      expect(JSON.stringify(body.items).length).toBeLessThan(1024 * 1024 + 100_000);
      pages.push(body.items.length);
      after = body.next;
    }
    expect(pages.length).toBeGreaterThan(3);
    expect(pages.reduce((sum, count) => sum + count, 0)).toBe(Number(stored!['count']) + 4);
  });

  it('keeps of a record that is too long only that it was there', async () => {
    const field = await newField();
    const order = await begin(field);
    const record = { type: 'ended', at: 5, result: 'x'.repeat(17_000) };
    const bytes = Buffer.from(JSON.stringify(record));
    const before = field.session.answers.all.length;
    field.session.send({ events: { jobId: idOf(order), firstSequence: 0, records: [bytes] } });
    await field.session.answers.find(({ acknowledged }) => acknowledged, before);
    const events = await field.orders.events(order);
    expect(events.at(-1)!.content).toEqual({
      sequence: 0,
      record: { type: 'ended', at: 5, omittedBytes: bytes.length },
    });
  });

  it('takes nothing more after the end', async () => {
    const field = await newField();
    const order = await begin(field);
    field.session.send({ ended: field.agent.ended(order, log) });
    await field.session.acknowledged(idOf(order), 'ended');
    const before = field.session.answers.all.length;
    const records = [Buffer.from('{"type":"started"}')];
    field.session.send({ events: { jobId: idOf(order), firstSequence: 0, records } });
    const answer = await field.session.answers.find(({ acknowledged }) => acknowledged, before);
    expect(answer.nextSequence).toBe(0);
    expect((await field.orders.events(order)).some(({ kind }) => kind === 'journal')).toBe(false);
  });

  it('is not asked for from beyond what a sequence can be', async () => {
    const field = await newField();
    const order = await begin(field);
    const path = `/api/v1/jobs/${idOf(order)}/events?after=`;
    expect((await operation.engineer.get(`${path}2147483648`)).status).toBe(400);
    expect((await operation.engineer.get(`${path}2147483647`)).status).toBe(200);
  });

  it('that is no JSON is refused', async () => {
    const field = await newField();
    const order = await begin(field);
    const wrong = ['', '{', '[]', 'null', '['.repeat(5_000)];
    for (const record of wrong) {
      field.session.send({
        events: { jobId: idOf(order), firstSequence: 0, records: [Buffer.from(record)] },
      });
    }
    const expected = wrong.map(() => 'word_rejected');
    await expect.poll(() => alarms(field, order)).toEqual(expected);
    field.session.send({ ended: field.agent.ended(order, log) });
    await field.session.acknowledged(idOf(order), 'ended');
  });
});

describe('a word that cannot be true', () => {
  const forgeries: [string, (field: Field, order: SignedDocument<'order'>) => object][] = [
    [
      'is signed with another key',
      ({ agent }, order) => {
        const other = Object.create(agent) as TestAgent;
        Object.defineProperty(other, 'world', {
          value: { ...agent.world, agent: createWorldKey() },
        });
        return { receipt: { jobId: idOf(order), receipt: Buffer.from(other.accepted(order)) } };
      },
    ],
    [
      'is about another job',
      ({ agent, orders }, order) => ({
        receipt: { jobId: idOf(order), receipt: Buffer.from(agent.accepted(orders.sign())) },
      }),
    ],
    [
      'is not a document',
      (_, order) => ({ receipt: { jobId: idOf(order), receipt: Buffer.from('accepted') } }),
    ],
    [
      'is an end where an acceptance belongs',
      ({ agent }, order) => ({
        receipt: { jobId: idOf(order), receipt: agent.ended(order, log).receipt as Buffer },
      }),
    ],
    [
      'has another result than its receipt says',
      ({ agent }, order) => ({
        ended: { ...agent.ended(order, log), result: Buffer.from('{"exitStatus":7}') },
      }),
    ],
    [
      'has a longer log than its receipt says',
      ({ agent }, order) => ({ ended: { ...agent.ended(order, log), logLength: log.length + 1 } }),
    ],
    [
      'brings a plan for an order that makes none',
      ({ agent, orders }, order) => ({
        ended: agent.ended(order, log, { plan: orders.tenant.world.signPlan() }),
      }),
    ],
    [
      'has a tail that is not what it says',
      ({ agent }, order) => ({
        ended: agent.ended(order, log, {
          tail: [{ offset: 0, length: log.length, compression: 1, data: log }],
        }),
      }),
    ],
  ];
  it.each(forgeries)('because it %s changes nothing, and only it is refused', async (_, forge) => {
    const field = await newField();
    const { session, orders } = field;
    const order = await orders.place();
    await session.delivery(idOf(order));
    session.send(forge(field, order));
    await expect.poll(() => alarms(field, order)).toEqual(['word_rejected']);
    expect(await orders.job(order)).toMatchObject({
      state: 'delivered',
      result: null,
      log: { committedBytes: 0, bytes: null },
    });
    const other = await begin(field);
    session.send({ ended: field.agent.ended(other, log) });
    await session.acknowledged(idOf(other), 'ended');
    session.send({ ended: field.agent.ended(order, log) });
    await session.acknowledged(idOf(order), 'ended');
  });

  it('does not take with it what was said together with it', async () => {
    const field = await newField();
    const { agent, session, orders } = field;
    const order = await orders.place();
    await session.delivery(idOf(order));
    const records = [Buffer.from('[]')];
    session.send({ receipt: { jobId: idOf(order), receipt: Buffer.from(agent.accepted(order)) } });
    session.send({ events: { jobId: idOf(order), firstSequence: 0, records } });
    session.send({ ended: agent.ended(order, log) });
    await session.acknowledged(idOf(order), 'ended');
    expect(await orders.path(order)).toEqual(['queued', 'delivered', 'running', 'succeeded']);
    expect(await alarms(field, order)).toEqual(['word_rejected']);
  });

  it('ends the session when it is said without end', async () => {
    const field = await newField();
    const order = await begin(field);
    const events = { jobId: idOf(order), firstSequence: 0, records: [Buffer.from('[]')] };
    for (let time = 0; time < 100; time++) field.session.send({ events });
    expect((await field.session.answers.ended).code).toBe(grpc.status.INVALID_ARGUMENT);
  });

  it('because it is about no job ends the session', async () => {
    const field = await newField();
    field.session.send({ receipt: { jobId: 'x', receipt: Buffer.from('y') } });
    expect((await field.session.answers.ended).code).toBe(grpc.status.INVALID_ARGUMENT);
  });

  it('because it is for another order of the same job is noted on the job', async () => {
    const field = await newField();
    const { agent, session, orders } = field;
    const order = await orders.place();
    await session.delivery(idOf(order));
    const other = orders.sign({ job: idOf(order) });
    session.send({ receipt: { jobId: idOf(order), receipt: Buffer.from(agent.accepted(other)) } });
    await expect.poll(() => alarms(field, order)).toEqual(['word_rejected']);
    expect(await orders.state(order)).toBe('delivered');
  });

  it('because part of its log is missing is not taken, and the agent learns from where', async () => {
    const field = await newField();
    const order = await begin(field);
    const tail = field.agent.ended(order, log).tail!.map((chunk) => ({
      ...chunk,
      offset: 19,
      length: log.length - 19,
      data: log.subarray(19),
    }));
    field.session.send({ ended: field.agent.ended(order, log, { tail }) });
    expect((await field.session.answers.ended).code).toBe(grpc.status.OUT_OF_RANGE);
    const back = await field.agent.connect({ knownJobs: [idOf(order)] });
    expect(back.answers.all[0]!.welcome!.positions).toMatchObject([{ logOffset: 0, ended: false }]);
    back.send({ ended: field.agent.ended(order, log) });
    await back.acknowledged(idOf(order), 'ended');
  });

  it('because its log is shorter than what is stored ends the job all the same, with an alarm', async () => {
    const field = await newField();
    const order = await begin(field);
    const upload = field.agent.upload(idOf(order));
    await upload.begin();
    await upload.send(log, 0, log.length);
    await upload.committed(log.length);
    await upload.close();
    const rest = encodeLog('one\n');
    const other = await begin(field);
    field.session.send({
      ended: field.agent.ended(order, rest, { outcome: 'interrupted', tail: [] }),
    });
    await field.session.acknowledged(idOf(order), 'ended');
    field.session.send({ ended: field.agent.ended(other, log) });
    await field.session.acknowledged(idOf(other), 'ended');
    expect(await field.orders.job(order)).toMatchObject({
      state: 'interrupted',
      log: { committedBytes: log.length, bytes: rest.length, verified: false },
    });
    expect(await alarms(field, order)).toEqual(['log_shorter']);
    const back = await reconnect(field, [idOf(order)]);
    expect(back.positions).toMatchObject([{ known: true, ended: true }]);
  });

  it('of an end whose log is lost here, and released there, is taken, and the gap is stated', async () => {
    const field = await newField();
    const order = await begin(field);
    const upload = field.agent.upload(idOf(order));
    await upload.begin();
    const kept = encodeLog('one\n').length;
    await upload.send(log, 0, kept);
    await upload.committed(kept);
    await upload.close();
    const said = field.agent.ended(order, log, { tail: [] });
    field.session.send({ ended: { ...said, logReleased: true } });
    await field.session.acknowledged(idOf(order), 'ended');
    expect(await field.orders.job(order)).toMatchObject({
      state: 'succeeded',
      log: { committedBytes: kept, bytes: log.length, verified: false },
    });
    expect(await alarms(field, order)).toEqual(['log_lost']);
    const { token } = operation.engineer;
    const answer = await side.api.app.request(`/api/v1/jobs/${idOf(order)}/log`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const lines = (await answer.text()).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { channel: 'out', text: 'one\n', next: kept },
      { channel: 'gap', offset: kept, next: log.length, gap: { missingBytes: log.length - kept } },
    ]);
  });

  it('of a job that ran when a backup was made is asked for again once that was put back', async () => {
    const field = await newField();
    const order = await begin(field);
    await field.session.close();
    const back = await field.agent.connect({ knownJobs: [] });
    const next = await field.orders.place();
    await back.delivery(idOf(next));
    expect(back.answers.all.flatMap(({ job }) => job?.jobId ?? [])).toEqual([idOf(next)]);
    await back.close();
    const restoration = 'insert into restorations (id, taken_at) values (gen_random_uuid(), now())';
    await test.database.query(restoration);
    try {
      const asked = await field.agent.connect({ knownJobs: [idOf(next)] });
      await asked.delivery(idOf(order));
    } finally {
      await test.database.query('delete from restorations');
    }
  });

  it('because its log is longer than is ever stored ends the job all the same, with an alarm', async () => {
    const field = await newField();
    const order = await begin(field);
    const logLength = LOG_MAX_BYTES + 1;
    field.session.send({ ended: field.agent.ended(order, log, { tail: [], logLength }) });
    await field.session.acknowledged(idOf(order), 'ended');
    expect(await field.orders.job(order)).toMatchObject({
      state: 'succeeded',
      log: { committedBytes: 0, bytes: logLength, verified: false },
    });
    expect(await alarms(field, order)).toEqual(['log_too_long']);
  });

  it('about a job of another agent is not even answered', async () => {
    const field = await newField();
    const other = await newField();
    const order = await begin(other);
    const jobId = idOf(order);
    // Signed by the wrong agent, for a job it cannot know.
    const receipt = signDocument(
      'receipt',
      {
        statement: 'accepted',
        job: jobId,
        server: field.orders.tenant.serverId,
        agentKey: field.agent.world.agent.fingerprint,
        order: order.digest,
        policy: sha256(Buffer.from('')),
        at: 1,
        auditHead: null,
      },
      [field.agent.world.agent.signer],
    );
    field.session.send({ receipt: { jobId, receipt: Buffer.from(receipt) } });
    field.session.send({ progress: { jobId, phase: 'stolen', text: 'x' } });
    const own = await begin(field);
    expect(field.session.answers.all.some((one) => one.acknowledged?.jobId === jobId)).toBe(false);
    expect((await other.orders.job(order)).progress).toBeNull();
    expect(await field.orders.state(own)).toBe('running');
    const upload = field.agent.upload(jobId);
    expect((await upload.answers.ended).code).toBe(grpc.status.NOT_FOUND);
  });

  it('because its log has another digest is kept, with an alarm', async () => {
    const field = await newField();
    const order = await begin(field);
    const logDigest = sha256(Buffer.from('another log'));
    field.session.send({ ended: field.agent.ended(order, log, { logDigest }) });
    await field.session.acknowledged(idOf(order), 'ended');
    expect(await field.orders.job(order)).toMatchObject({
      state: 'succeeded',
      log: { verified: false, digest: logDigest },
    });
    expect(await alarms(field, order)).toEqual(['log_digest_mismatch']);
  });
});

describe('progress of a job', () => {
  it('is the latest, cut to bounds, and is gone when the job has ended', async () => {
    const field = await newField();
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

describe('an agent that holds more jobs than one answer has room for', () => {
  it('is told of the newest, and is served like any other', async () => {
    const field = await newField();
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
    const { session, orders } = await newField();
    // Another control plane on the same database, which wakes nobody here.
    const other = await startAgentSide(test.database, { folder: side.folder });
    const order = orders.sign();
    const answer = await other.api.request('POST', '/api/v1/jobs', operation.engineer.token, {
      order: Buffer.from(order.envelope).toString('base64'),
    });
    expect(answer.status).toBe(201);
    await session.delivery(idOf(order));
    await other.close();
  });

  it('is not forgotten: two control planes never both send a job', async () => {
    const { agent, session, orders } = await newField();
    await session.close();
    const order = await orders.place();
    const claims = await Promise.all(
      Array.from({ length: 4 }, async () => {
        const { claimQueuedJobs } = await import('./delivery-store.ts');
        return claimQueuedJobs(test.database, agent.agentId);
      }),
    );
    expect(claims.flat().map((row) => row.id)).toEqual([idOf(order)]);
  });
});

describe('many orders at once', () => {
  it('all reach their agent, each once', async () => {
    const field = await newField();
    const placed = await Promise.all(
      Array.from({ length: 30 }, async () => (await field.orders.place()).payload.job),
    );
    for (const jobId of placed) await field.session.delivery(jobId);
    const sent = field.session.answers.all.flatMap(({ job }) => job?.jobId ?? []);
    expect(sent.sort()).toEqual(placed.sort());
  });
});
