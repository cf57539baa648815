import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { openEvents } from '../../test/fixtures/event-stream.ts';
import { begin, takeTheField } from '../../test/fixtures/ordered-jobs.ts';
import type { Field } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';
import type { TestUpload } from '../../test/fixtures/test-agent.ts';
import type { SignedDocument } from '../../test/fixtures/trust-world.ts';
import { encodeRecord } from '../../proto/spool/record.ts';

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

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const RAW = 'application/vnd.intervene.log';
const TIME = 1_790_000_000_000_000;

/** A running job with an open upload. */
async function running(): Promise<{
  order: SignedDocument<'order'>;
  path: string;
  upload: TestUpload;
}> {
  const order = await begin(field);
  const upload = field.agent.upload(order.payload.job);
  await upload.begin();
  return { order, path: `/api/v1/jobs/${order.payload.job}/log`, upload };
}

async function end(order: SignedDocument<'order'>, log: Buffer): Promise<void> {
  field.session.send({ ended: field.agent.ended(order, log, { tail: [] }) });
  await field.session.acknowledged(order.payload.job, 'ended');
}

/** An ended job with this log, in chunks of these sizes. */
async function ended(log: Buffer, sizes: readonly number[] = [log.length]): Promise<string> {
  const { order, path, upload } = await running();
  for (let offset = 0, at = 0; offset < log.length; at++) {
    const size = sizes[at % sizes.length]!;
    await upload.send(log, offset, size);
    offset += size;
  }
  await upload.committed(log.length);
  await upload.close();
  await end(order, log);
  return path;
}

async function get(path: string, accept?: string): Promise<Response> {
  return side.api.app.request(path, {
    headers: {
      authorization: `Bearer ${operation.engineer.token}`,
      ...(accept !== undefined && { accept }),
    },
  });
}

async function bytesOf(path: string): Promise<Buffer> {
  return Buffer.from(await (await get(path, RAW)).arrayBuffer());
}

interface Line {
  offset: number;
  next: number;
  channel: string;
  text?: string;
  gap?: object;
}

async function linesOf(path: string): Promise<Line[]> {
  const text = await (await get(path)).text();
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);
}

const texts = (lines: readonly Line[]) => lines.map((line) => line.text).join('');

describe('the encoded log', () => {
  it('is what the agent sent, from any byte on', async () => {
    const log = encodeLog(...Array.from({ length: 200 }, (_, at) => `line ${at}\n`));
    const path = await ended(log, [100, 7, 333]);
    const response = await get(path, RAW);
    expect(response.headers.get('content-type')).toBe(RAW);
    expect(response.headers.get('intervene-log-offset')).toBe('0');
    expect(await bytesOf(path)).toEqual(log);
    for (const offset of [1, 99, 100, 101, log.length - 1, log.length, log.length + 50]) {
      expect(await bytesOf(`${path}?offset=${offset}`)).toEqual(log.subarray(offset));
    }
  });

  it('is followed to the end of the job, and no byte comes late or twice', async () => {
    const { order, path, upload } = await running();
    const log = encodeLog(...Array.from({ length: 500 }, (_, at) => `line ${at}\n`));
    const reading = bytesOf(`${path}?follow=true`);
    for (let offset = 0; offset < log.length; offset += 512) {
      await upload.send(log, offset, 512);
      if (offset % 2048 === 0) await upload.committed(offset);
    }
    await upload.committed(log.length);
    await upload.close();
    await end(order, log);
    expect(await reading).toEqual(log);
  });

  it('of a job that never ran is empty, and following it ends', async () => {
    await field.session.close();
    const order = await field.orders.place();
    const path = `/api/v1/jobs/${order.payload.job}/log?follow=true`;
    const reading = bytesOf(path);
    await field.orders.cancel(order);
    expect(await reading).toHaveLength(0);
    field.session = await field.agent.connect();
  });

  it('cannot be had by channel, nor without a right to see the job', async () => {
    const path = await ended(encodeLog('x\n'));
    expect((await get(`${path}?channel=out`, RAW)).status).toBe(400);
    const stranger = await operation.addTenant();
    expect((await stranger.client.get(path)).status).toBe(404);
    expect((await get(`${path}?offset=-1`)).status).toBe(400);
    expect((await get(`${path}?tail=x`)).status).toBe(400);
  });
});

describe('a follower', () => {
  it('sees a line before it is committed', async () => {
    const { order, path, upload } = await running();
    const hold = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const blocker = test.database.transaction(async (queries) => {
      await queries.query('select from jobs where id = $1 for update', [order.payload.job]);
      locked.resolve();
      await hold.promise;
    });
    await locked.promise;
    const stream = await openEvents(side.api, operation.engineer, `${path}?follow=true`);
    expect(await stream.next()).toMatchObject({ event: 'state', data: { state: 'running' } });
    const log = encodeLog('at once\n');
    const started = performance.now();
    await upload.send(log, 0, log.length);
    expect(await stream.next()).toMatchObject({ event: 'log', data: { text: 'at once\n' } });
    expect(performance.now() - started).toBeLessThan(1_000);
    const [row] = await test.database.query(
      'select log_offset as "offset" from jobs where id = $1',
      [order.payload.job],
    );
    expect(row).toEqual({ offset: 0 });
    hold.resolve();
    await blocker;
    await upload.committed(log.length);
    await upload.close();
    await end(order, log);
    expect(await stream.next()).toMatchObject({ event: 'state', data: { state: 'succeeded' } });
    expect(await stream.next()).toMatchObject({ event: 'end' });
    expect(await stream.next()).toBeNull();
  });

  it('that is slower than the log misses nothing, and makes nothing pile up', async () => {
    const { order, path, upload } = await running();
    const log = Buffer.concat(
      Array.from({ length: 600 }, (_, at) => encodeRecord('out', TIME + at, randomBytes(16_000))),
    );
    const response = await get(`${path}?follow=true`, RAW);
    const reader = response.body!.getReader();
    const pieces: Uint8Array[] = [(await firstOf(reader, upload, log)).value!];
    const before = arrayBuffersInUse();
    for (let offset = 16_013; offset < log.length; offset += 16_013) {
      const data = log.subarray(offset, offset + 16_013);
      await upload.sendChunk({ offset, length: data.length, data });
    }
    await upload.committed(log.length);
    // V8 frees what nobody holds a little after it found it.
    await expect
      .poll(() => arrayBuffersInUse() - before, { timeout: 10_000 })
      .toBeLessThan(log.length / 2);
    await upload.close();
    await end(order, log);
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      pieces.push(read.value);
    }
    expect(Buffer.concat(pieces)).toEqual(log);
  });

  it('sees what an agent sends in its last word', async () => {
    const order = await begin(field);
    const path = `/api/v1/jobs/${order.payload.job}/log?follow=true`;
    const reading = linesOf(path);
    const log = encodeLog('only now\n');
    field.session.send({ ended: field.agent.ended(order, log) });
    await field.session.acknowledged(order.payload.job, 'ended');
    expect(texts(await reading)).toBe('only now\n');
  });

  it('goes on when the upload breaks off and comes back', async () => {
    const { order, path, upload } = await running();
    const log = encodeLog('one\n', 'two\n', 'three\n', 'four\n');
    const reading = bytesOf(`${path}?follow=true`);
    await upload.send(log, 0, 17);
    await upload.committed(17);
    await upload.send(log, 17, 17);
    upload.call.cancel();
    const again = field.agent.upload(order.payload.job);
    const from = await again.begin();
    await again.send(log, from, log.length - from);
    await again.committed(log.length);
    await again.close();
    await end(order, log);
    expect(await reading).toEqual(log);
  });

  it('sees the log of a job that another control plane takes in', async () => {
    const other = await startAgentSide(test.database, { folder: side.folder });
    const { order, path, upload } = await running();
    const followed = other.api.app.request(`${path}?follow=true`, {
      headers: { authorization: `Bearer ${operation.engineer.token}`, accept: RAW },
    });
    const log = encodeLog('over there\n');
    await upload.send(log, 0, log.length);
    await upload.committed(log.length);
    await upload.close();
    await end(order, log);
    const bytes = Buffer.from(await (await followed).arrayBuffer());
    expect(bytes).toEqual(log);
    await other.close();
  });
});

/** Bytes in array buffers that somebody still holds. */
function arrayBuffersInUse(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

async function firstOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  upload: TestUpload,
  log: Buffer,
): Promise<{ value?: Uint8Array | undefined }> {
  const first = reader.read();
  await upload.sendChunk({ offset: 0, length: 16_013, data: log.subarray(0, 16_013) });
  return first;
}

describe('events of a log', () => {
  it('carry text by record, gaps, and the offset to go on from', async () => {
    const log = Buffer.concat([
      encodeRecord('out', TIME, Buffer.from('out\n')),
      encodeRecord('err', TIME + 1_000, Buffer.from('<b>\x1b[31m')),
      encodeRecord('note', TIME + 2_000, Buffer.from('a note')),
      encodeRecord('gap', TIME + 3_000, Buffer.from('{"missingBytes":88,"missingLines":3}')),
      encodeRecord('out', TIME + 4_000, Buffer.from('after\n')),
    ]);
    const path = await ended(log);
    const stream = await openEvents(side.api, operation.engineer, `${path}?follow=true`);
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
    const resumed = await openEvents(side.api, operation.engineer, path, events[3]!.id);
    const rest = await resumed.rest();
    expect(rest.map((event) => event.id)).toEqual([undefined, events[4]!.id, events[5]!.id]);
  });

  it('tell progress and states between the lines', async () => {
    const { order, path, upload } = await running();
    const stream = await openEvents(side.api, operation.engineer, `${path}?follow=true`);
    await stream.next();
    const { job } = order.payload;
    field.session.send({ progress: { jobId: job, phase: 'check', percent: 12, text: 'pass 1' } });
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
    await end(order, log);
    expect((await stream.rest()).map((event) => event.event)).toEqual(['state', 'end']);
  });

  it('as lines are refused from the middle of a record', async () => {
    const log = encodeLog('some text that is long enough\n', 'more\n');
    const path = await ended(log);
    for (const offset of [1, 5, 12]) {
      expect(await operation.engineer.get(`${path}?offset=${offset}`)).toMatchObject({
        status: 400,
        body: { error: { code: 'not_a_record' } },
      });
    }
    expect((await operation.engineer.get(`${path}?offset=${log.length}`)).status).toBe(200);
  });

  it('say so when they were asked for from the middle of a record', async () => {
    const path = await ended(encodeLog('some text that is long enough\n', 'more\n'));
    const stream = await openEvents(side.api, operation.engineer, `${path}?offset=5`);
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
    const lines = await linesOf(await ended(log));
    expect(lines.map((line) => line.text)).toEqual(['', 'between', '€', '\ufffdA']);
  });

  it('are given for one channel, with the gaps', async () => {
    const log = Buffer.concat([
      encodeRecord('out', TIME, Buffer.from('o\n')),
      encodeRecord('err', TIME, Buffer.from('e\n')),
      encodeRecord('gap', TIME, Buffer.from('not json')),
    ]);
    const path = await ended(log);
    const channels = (lines: Line[]) => lines.map((line) => line.channel);
    expect(channels(await linesOf(`${path}?channel=err`))).toEqual(['err', 'gap']);
    expect(channels(await linesOf(path))).toEqual(['out', 'err', 'gap']);
  });

  it.each([
    ['records and chunks that fit', [17 * 7]],
    ['chunks that begin anywhere', [10, 3, 50, 1]],
  ])('end with the last lines that were asked for, with %s', async (_, sizes) => {
    const log = encodeLog(
      ...Array.from({ length: 100 }, (__, at) => `l${String(at).padStart(2, '0')}\n`),
    );
    const path = await ended(log, sizes);
    const last = (count: number) =>
      Array.from(
        { length: count },
        (__, at) => `l${String(100 - count + at).padStart(2, '0')}\n`,
      ).join('');
    for (const count of [1, 2, 7, 8, 50, 99, 100, 500]) {
      expect(texts(await linesOf(`${path}?tail=${count}`))).toBe(last(Math.min(count, 100)));
    }
    expect(await linesOf(`${path}?tail=0`)).toEqual([]);
  });

  it('begin in the middle of a record that holds several lines', async () => {
    const log = encodeLog('a\nb\nc\n', 'd\ne\nunfinished');
    const path = await ended(log);
    expect(texts(await linesOf(`${path}?tail=1`))).toBe('e\nunfinished');
    expect(texts(await linesOf(`${path}?tail=3`))).toBe('c\nd\ne\nunfinished');
    const raw = await get(`${path}?tail=3`, RAW);
    expect(raw.headers.get('intervene-log-offset')).toBe('0');
    expect(raw.headers.get('intervene-log-skip-lines')).toBe('2');
  });
});
