import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { startAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { openEvents } from '../../test/fixtures/event-stream.ts';
import { RAW, textsOf, TIME, useLogScene } from '../../test/fixtures/log-scene.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';
import type { TestUpload } from '../../test/fixtures/test-agent.ts';
import { encodeRecord } from '../../proto/spool/record.ts';

const test = useTestDatabase();
const scene = useLogScene(test);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('a follower', () => {
  it('sees a line before it is committed', async () => {
    const { order, path, upload } = await scene.running();
    const hold = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const blocker = test.database.transaction(async (queries) => {
      await queries.query('select from jobs where id = $1 for update', [order.payload.job]);
      locked.resolve();
      await hold.promise;
    });
    await locked.promise;
    const stream = await openEvents(
      scene.side.api,
      scene.operation.engineer,
      `${path}?follow=true`,
    );
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
    await scene.end(order, log);
    expect(await stream.next()).toMatchObject({ event: 'state', data: { state: 'succeeded' } });
    expect(await stream.next()).toMatchObject({ event: 'end' });
    expect(await stream.next()).toBeNull();
  });

  it('that is slower than the log misses nothing, and makes nothing pile up', async () => {
    const { order, path, upload } = await scene.running();
    const log = Buffer.concat(
      Array.from({ length: 600 }, (_, at) => encodeRecord('out', TIME + at, randomBytes(16_000))),
    );
    const response = await scene.get(`${path}?follow=true`, RAW);
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
      .poll(() => arrayBuffersInUse() - before, { timeout: 30_000 })
      .toBeLessThan(log.length / 2);
    await upload.close();
    await scene.end(order, log);
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      pieces.push(read.value);
    }
    expect(Buffer.concat(pieces)).toEqual(log);
  });

  it('sees what an agent sends in its last word', async () => {
    const order = await begin(scene.field);
    const path = `/api/v1/jobs/${order.payload.job}/log?follow=true`;
    const reading = scene.linesOf(path);
    const log = encodeLog('only now\n');
    scene.field.session.send({ ended: scene.field.agent.ended(order, log) });
    await scene.field.session.acknowledged(order.payload.job, 'ended');
    expect(textsOf(await reading)).toBe('only now\n');
  });

  it('goes on when the upload breaks off and comes back', async () => {
    const { order, path, upload } = await scene.running();
    const log = encodeLog('one\n', 'two\n', 'three\n', 'four\n');
    const reading = scene.bytesOf(`${path}?follow=true`);
    await upload.send(log, 0, 17);
    await upload.committed(17);
    await upload.send(log, 17, 17);
    upload.call.cancel();
    const again = scene.field.agent.upload(order.payload.job);
    const from = await again.begin();
    await again.send(log, from, log.length - from);
    await again.committed(log.length);
    await again.close();
    await scene.end(order, log);
    expect(await reading).toEqual(log);
  });

  it('sees the log of a job that another control plane takes in', async () => {
    const other = await startAgentSide(test.database, { folder: scene.side.folder });
    const { order, path, upload } = await scene.running();
    const followed = other.api.app.request(`${path}?follow=true`, {
      headers: { authorization: `Bearer ${scene.operation.engineer.token}`, accept: RAW },
    });
    const log = encodeLog('over there\n');
    await upload.send(log, 0, log.length);
    await upload.committed(log.length);
    await upload.close();
    await scene.end(order, log);
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
