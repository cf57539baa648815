import { describe, expect, it } from 'vitest';
import { alarms, idOf, reconnect, useJobFields } from '../../test/fixtures/job-fields.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import type { EventView } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';

const scene = useJobFields();
const log = encodeLog('one\n', 'two\n');

describe('the journal of a job', () => {
  it('is stored once and in order, whatever is sent again; after a gap the answer says where to go on', async () => {
    const field = await scene.newField();
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
    const field = await scene.newField();
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
    const [stored] = await scene.database.query(
      `select count(*) as count, sum(octet_length(content::text))::int < 4500000 as fits
       from job_events where job_id = $1 and kind = 'journal'`,
      [jobId],
    );
    expect(stored).toMatchObject({ fits: true });
    expect(Number(stored!['count'])).toBeLessThan(300);
    const [told] = await scene.database.query(
      `select count(*) as count from job_events where job_id = $1 and kind = 'alarm'
       and content->>'code' = 'journal_too_long'`,
      [jobId],
    );
    expect(Number(told!['count'])).toBe(1);
    const pages: number[] = [];
    for (let after: string | null = '0'; after !== null;) {
      const { body }: { body: { items: EventView[]; next: string | null } } =
        await scene.operation.engineer.get(`/api/v1/jobs/${jobId}/events?after=${after}`);
      expect(JSON.stringify(body.items).length).toBeLessThan(1024 * 1024 + 100_000);
      pages.push(body.items.length);
      after = body.next;
    }
    expect(pages.length).toBeGreaterThan(3);
    expect(pages.reduce((sum, count) => sum + count, 0)).toBe(Number(stored!['count']) + 4);
  });

  it('keeps of a record that is too long only that it was there', async () => {
    const field = await scene.newField();
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
    const field = await scene.newField();
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
    const field = await scene.newField();
    const order = await begin(field);
    const path = `/api/v1/jobs/${idOf(order)}/events?after=`;
    expect((await scene.operation.engineer.get(`${path}2147483648`)).status).toBe(400);
    expect((await scene.operation.engineer.get(`${path}2147483647`)).status).toBe(200);
  });

  it('that is no JSON is refused', async () => {
    const field = await scene.newField();
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
