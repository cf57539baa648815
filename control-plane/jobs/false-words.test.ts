import { describe, expect, it } from 'vitest';
import * as grpc from '@grpc/grpc-js';
import { signDocument } from '../../proto/documents/document.ts';
import { LOG_MAX_BYTES } from '../logs/log-writer.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { SignedDocument } from '../../test/fixtures/trust-world.ts';
import type { TestAgent } from '../../test/fixtures/test-agent.ts';
import { alarms, idOf, reconnect, useJobFields } from '../../test/fixtures/job-fields.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import type { Field } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog, sha256 } from '../../test/fixtures/test-agent.ts';

const scene = useJobFields();
const log = encodeLog('one\n', 'two\n');

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
      'brings a secret that its receipt does not name',
      ({ agent }, order) => ({
        ended: {
          ...agent.ended(order, log),
          sealedOutputs: [{ name: 'password', sealed: Buffer.from('sealed') }],
        },
      }),
    ],
    [
      'keeps a secret back that its receipt names',
      ({ agent }, order) => {
        const sealedOutputs = [{ name: 'password', sealed: Buffer.from('sealed') }];
        return { ended: { ...agent.ended(order, log, { sealedOutputs }), sealedOutputs: [] } };
      },
    ],
    [
      'has two secrets of one name',
      ({ agent }, order) => {
        const one = { name: 'password', sealed: Buffer.from('one') };
        const two = { name: 'password', sealed: Buffer.from('two') };
        return { ended: agent.ended(order, log, { sealedOutputs: [one, two] }) };
      },
    ],
    [
      'has a secret that is larger than one may be',
      ({ agent }, order) => {
        const sealedOutputs = [{ name: 'password', sealed: Buffer.alloc(7 * 1024) }];
        return { ended: agent.ended(order, log, { sealedOutputs }) };
      },
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
    const field = await scene.newField();
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
    const field = await scene.newField();
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
    const field = await scene.newField();
    const order = await begin(field);
    const events = { jobId: idOf(order), firstSequence: 0, records: [Buffer.from('[]')] };
    for (let time = 0; time < 100; time++) field.session.send({ events });
    expect((await field.session.answers.ended).code).toBe(grpc.status.INVALID_ARGUMENT);
  });

  it('because it is about no job ends the session', async () => {
    const field = await scene.newField();
    field.session.send({ receipt: { jobId: 'x', receipt: Buffer.from('y') } });
    expect((await field.session.answers.ended).code).toBe(grpc.status.INVALID_ARGUMENT);
  });

  it('because it is for another order of the same job is noted on the job', async () => {
    const field = await scene.newField();
    const { agent, session, orders } = field;
    const order = await orders.place();
    await session.delivery(idOf(order));
    const other = orders.sign({ job: idOf(order) });
    session.send({ receipt: { jobId: idOf(order), receipt: Buffer.from(agent.accepted(other)) } });
    await expect.poll(() => alarms(field, order)).toEqual(['word_rejected']);
    expect(await orders.state(order)).toBe('delivered');
  });

  it('because part of its log is missing is not taken, and the agent learns from where', async () => {
    const field = await scene.newField();
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
    const field = await scene.newField();
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
    const field = await scene.newField();
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
    const { token } = scene.operation.engineer;
    const answer = await scene.side.api.app.request(`/api/v1/jobs/${idOf(order)}/log`, {
      headers: { authorization: `Bearer ${token}` },
    });
    const lines = (await answer.text()).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { channel: 'out', text: 'one\n', next: kept },
      { channel: 'gap', offset: kept, next: log.length, gap: { missingBytes: log.length - kept } },
    ]);
  });

  it('of a job that ran when a backup was made is asked for again once that was put back', async () => {
    const field = await scene.newField();
    const order = await begin(field);
    await field.session.close();
    const back = await field.agent.connect({ knownJobs: [] });
    const next = await field.orders.place();
    await back.delivery(idOf(next));
    expect(back.answers.all.flatMap(({ job }) => job?.jobId ?? [])).toEqual([idOf(next)]);
    await back.close();
    const restoration = 'insert into restorations (id, taken_at) values (gen_random_uuid(), now())';
    await scene.database.query(restoration);
    try {
      const asked = await field.agent.connect({ knownJobs: [idOf(next)] });
      await asked.delivery(idOf(order));
    } finally {
      await scene.database.query('delete from restorations');
    }
  });

  it('because its log is longer than is ever stored ends the job all the same, with an alarm', async () => {
    const field = await scene.newField();
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
    const field = await scene.newField();
    const other = await scene.newField();
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
    const field = await scene.newField();
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
