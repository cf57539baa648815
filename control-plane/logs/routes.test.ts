import { describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { openEvents } from '../../test/fixtures/event-stream.ts';
import { RAW, textsOf, TIME, useLogScene } from '../../test/fixtures/log-scene.ts';
import type { LogLine } from '../../test/fixtures/log-scene.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';
import { encodeRecord } from '../../proto/spool/record.ts';

const scene = useLogScene(useTestDatabase());

describe('the encoded log', () => {
  it('is what the agent sent, from any byte on', async () => {
    const log = encodeLog(...Array.from({ length: 200 }, (_, at) => `line ${at}\n`));
    const path = await scene.ended(log, [100, 7, 333]);
    const response = await scene.get(path, RAW);
    expect(response.headers.get('content-type')).toBe(RAW);
    expect(response.headers.get('intervene-log-offset')).toBe('0');
    expect(await scene.bytesOf(path)).toEqual(log);
    for (const offset of [1, 99, 100, 101, log.length - 1, log.length, log.length + 50]) {
      expect(await scene.bytesOf(`${path}?offset=${offset}`)).toEqual(log.subarray(offset));
    }
  });

  it('is followed to the end of the job, and no byte comes late or twice', async () => {
    const { order, path, upload } = await scene.running();
    const log = encodeLog(...Array.from({ length: 500 }, (_, at) => `line ${at}\n`));
    const reading = scene.bytesOf(`${path}?follow=true`);
    for (let offset = 0; offset < log.length; offset += 512) {
      await upload.send(log, offset, 512);
      if (offset % 2048 === 0) await upload.committed(offset);
    }
    await upload.committed(log.length);
    await upload.close();
    await scene.end(order, log);
    expect(await reading).toEqual(log);
  });

  it('of a job that never ran is empty, and following it ends', async () => {
    await scene.field.session.close();
    const order = await scene.field.orders.place();
    const path = `/api/v1/jobs/${order.payload.job}/log?follow=true`;
    const reading = scene.bytesOf(path);
    await scene.field.orders.cancel(order);
    expect(await reading).toHaveLength(0);
    scene.field.session = await scene.field.agent.connect();
  });

  it('cannot be had by channel, nor without a right to see the job', async () => {
    const path = await scene.ended(encodeLog('x\n'));
    expect((await scene.get(`${path}?channel=out`, RAW)).status).toBe(400);
    const stranger = await scene.operation.addTenant();
    expect((await stranger.client.get(path)).status).toBe(404);
    expect((await scene.get(`${path}?offset=-1`)).status).toBe(400);
    expect((await scene.get(`${path}?tail=x`)).status).toBe(400);
  });
});

describe('events of a log', () => {
  it('carry text by record, gaps, and the offset to go on from', async () => {
    const log = Buffer.concat([
      encodeRecord('out', TIME, Buffer.from('out\n')),
      encodeRecord('err', TIME + 1_000, Buffer.from('<b>\x1b[31m')),
      encodeRecord('note', TIME + 2_000, Buffer.from('a note')),
      encodeRecord('gap', TIME + 3_000, Buffer.from('{"missingBytes":88,"missingLines":3}')),
      encodeRecord('out', TIME + 4_000, Buffer.from('after\n')),
    ]);
    const path = await scene.ended(log);
    const stream = await openEvents(
      scene.side.api,
      scene.operation.engineer,
      `${path}?follow=true`,
    );
    expect(stream.headers.get('content-type')).toContain('text/event-stream');
    const events = await stream.rest();
    expect(events.map((event) => event.event)).toEqual([
      'state',
      'log',
      'log',
      'log',
      'gap',
      'log',
      'end',
    ]);
    expect(events[1]).toEqual({
      event: 'log',
      id: '17',
      data: {
        offset: 0,
        next: 17,
        time: '2026-09-21T14:13:20.000Z',
        channel: 'out',
        text: 'out\n',
      },
    });
    expect(events[2]!.data).toMatchObject({ channel: 'err', text: '<b>\x1b[31m' });
    expect(events[4]!.data).toMatchObject({
      channel: 'gap',
      gap: { missingBytes: 88, missingLines: 3 },
    });
    expect(events[6]!.data).toMatchObject({
      state: 'succeeded',
      exitStatus: 0,
      log: { bytes: log.length, verified: true },
    });
    const resumed = await openEvents(scene.side.api, scene.operation.engineer, path, events[3]!.id);
    const rest = await resumed.rest();
    expect(rest.map((event) => event.id)).toEqual([undefined, events[4]!.id, events[5]!.id]);
  });

  it('tell progress and states between the lines', async () => {
    const { order, path, upload } = await scene.running();
    const stream = await openEvents(
      scene.side.api,
      scene.operation.engineer,
      `${path}?follow=true`,
    );
    await stream.next();
    const { job } = order.payload;
    scene.field.session.send({
      progress: { jobId: job, phase: 'check', percent: 12, text: 'pass 1' },
    });
    expect(await stream.next()).toEqual({
      event: 'progress',
      id: undefined,
      data: { phase: 'check', percent: 12, text: 'pass 1' },
    });
    const log = encodeLog('x\n');
    await upload.send(log, 0, log.length);
    expect(await stream.next()).toMatchObject({ event: 'log' });
    await upload.committed(log.length);
    await upload.close();
    await scene.end(order, log);
    expect((await stream.rest()).map((event) => event.event)).toEqual(['state', 'end']);
  });

  it('as lines are refused from the middle of a record', async () => {
    const log = encodeLog('some text that is long enough\n', 'more\n');
    const path = await scene.ended(log);
    for (const offset of [1, 5, 12]) {
      expect(await scene.operation.engineer.get(`${path}?offset=${offset}`)).toMatchObject({
        status: 400,
        body: { error: { code: 'not_a_record' } },
      });
    }
    expect((await scene.operation.engineer.get(`${path}?offset=${log.length}`)).status).toBe(200);
  });

  it('say so when they were asked for from the middle of a record', async () => {
    const path = await scene.ended(encodeLog('some text that is long enough\n', 'more\n'));
    const stream = await openEvents(scene.side.api, scene.operation.engineer, `${path}?offset=5`);
    const events = await stream.rest();
    expect(events.at(-1)).toMatchObject({ event: 'error', data: { code: 'not_a_record' } });
  });
});

describe('lines of a log as JSON', () => {
  it('put characters together that records cut apart, and replace what is no text', async () => {
    const euro = Buffer.from('€');
    const log = Buffer.concat([
      encodeRecord('out', TIME, euro.subarray(0, 2)),
      encodeRecord('err', TIME, Buffer.from('between')),
      encodeRecord('out', TIME, euro.subarray(2)),
      encodeRecord('out', TIME, Buffer.from([0xff, 0x41])),
    ]);
    const lines = await scene.linesOf(await scene.ended(log));
    expect(lines.map((line) => line.text)).toEqual(['', 'between', '€', '\ufffdA']);
  });

  it('are given for one channel, with the gaps', async () => {
    const log = Buffer.concat([
      encodeRecord('out', TIME, Buffer.from('o\n')),
      encodeRecord('err', TIME, Buffer.from('e\n')),
      encodeRecord('gap', TIME, Buffer.from('not json')),
    ]);
    const path = await scene.ended(log);
    const channels = (lines: LogLine[]) => lines.map((line) => line.channel);
    expect(channels(await scene.linesOf(`${path}?channel=err`))).toEqual(['err', 'gap']);
    expect(channels(await scene.linesOf(path))).toEqual(['out', 'err', 'gap']);
  });

  it.each([
    ['records and chunks that fit', [17 * 7]],
    ['chunks that begin anywhere', [10, 3, 50, 1]],
  ])('end with the last lines that were asked for, with %s', async (_, sizes) => {
    const log = encodeLog(
      ...Array.from({ length: 100 }, (__, at) => `l${String(at).padStart(2, '0')}\n`),
    );
    const path = await scene.ended(log, sizes);
    const last = (count: number) =>
      Array.from(
        { length: count },
        (__, at) => `l${String(100 - count + at).padStart(2, '0')}\n`,
      ).join('');
    for (const count of [1, 2, 7, 8, 50, 99, 100, 500]) {
      expect(textsOf(await scene.linesOf(`${path}?tail=${count}`))).toBe(
        last(Math.min(count, 100)),
      );
    }
    expect(await scene.linesOf(`${path}?tail=0`)).toEqual([]);
  });

  it('begin in the middle of a record that holds several lines', async () => {
    const log = encodeLog('a\nb\nc\n', 'd\ne\nunfinished');
    const path = await scene.ended(log);
    expect(textsOf(await scene.linesOf(`${path}?tail=1`))).toBe('e\nunfinished');
    expect(textsOf(await scene.linesOf(`${path}?tail=3`))).toBe('c\nd\ne\nunfinished');
    const raw = await scene.get(`${path}?tail=3`, RAW);
    expect(raw.headers.get('intervene-log-offset')).toBe('0');
    expect(raw.headers.get('intervene-log-skip-lines')).toBe('2');
  });
});
