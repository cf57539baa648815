import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeRecord } from '../../../proto/spool/record.ts';
import type { LogRecord } from '../../../proto/spool/record.ts';
import { FarEnd } from '../../../test/fixtures/far-end.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';
import { createTrustWorld } from '../../../test/fixtures/trust-world.ts';
import { ApiClient } from './api-client.ts';
import { followLog } from './follow-log.ts';
import type { FollowLogOptions } from './follow-log.ts';

let farEnd: FarEnd;
let api: ApiClient;

beforeEach(async () => {
  farEnd = new FarEnd(await createTrustWorld());
  await farEnd.start();
  api = new ApiClient({ url: farEnd.url, token: 'engineer-token', caFile: null });
});
afterEach(async () => {
  api.close();
  await farEnd.stop();
});

async function order(): Promise<FarJob> {
  const { envelope, payload } = farEnd.world.signOrder();
  await api.post('/api/v1/jobs', { order: Buffer.from(envelope).toString('base64') });
  const job = farEnd.jobs.get(payload.job);
  if (job === undefined) throw new Error('the far end took no order');
  return job;
}

function finish(job: FarJob, log: Buffer): void {
  job.log = log;
  farEnd.end(job, {
    state: 'succeeded',
    log: { committedBytes: log.length, lines: 0, bytes: log.length, digest: null, verified: true },
  });
}

function lines(count: number): { log: Buffer; text: string } {
  const parts = Array.from({ length: count }, (_, at) => `line ${at + 1} ${'x'.repeat(at % 50)}\n`);
  return {
    log: Buffer.concat(
      parts.map((part, at) => encodeRecord('out', 1_000_000 + at, Buffer.from(part))),
    ),
    text: parts.join(''),
  };
}

function follow(job: FarJob, more: Partial<FollowLogOptions> = {}) {
  const records: LogRecord[] = [];
  const result = followLog(api, {
    job: job.body.id,
    from: { offset: 0 },
    follow: true,
    onRecords: async (some) => {
      records.push(...some.map((record) => ({ ...record, payload: Buffer.from(record.payload) })));
    },
    giveUpAt: () => Date.now() + 20_000,
    now: () => Date.now(),
    signal: new AbortController().signal,
    ...more,
  });
  return { result, text: () => Buffer.concat(records.map(({ payload }) => payload)).toString() };
}

describe('following a log', () => {
  it('hands out every byte once, wherever the stream is cut and however often', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 60 }),
        async (cuts, count) => {
          const job = await order();
          const { log, text } = lines(count);
          finish(job, log);
          farEnd.cuts = [...cuts];
          const bytes: Buffer[] = [];
          const followed = follow(job, { onBytes: (some) => bytes.push(Buffer.from(some)) });
          const { offset, missingBytes } = await followed.result;
          farEnd.cuts = [];
          expect(followed.text()).toBe(text);
          expect(Buffer.concat(bytes).equals(log)).toBe(true);
          expect([offset, missingBytes]).toEqual([log.length, 0]);
        },
      ),
      { numRuns: 12 },
    );
  });

  it('goes on after the control plane was away, saying so once', async () => {
    const job = await order();
    const { log, text } = lines(40);
    job.body.state = 'running';
    job.log = log.subarray(0, 333);
    const told: string[] = [];
    const followed = follow(job, {
      onLost: () => told.push('lost'),
      onBack: () => told.push('back'),
    });
    while (!followed.text().includes('line 2')) await new Promise((wait) => setTimeout(wait, 5));
    await farEnd.stop();
    while (told.length === 0) await new Promise((wait) => setTimeout(wait, 5));
    finish(job, log);
    await farEnd.start();
    await followed.result;
    expect(followed.text()).toBe(text);
    expect(told).toEqual(['lost', 'back']);
  });

  it('follows a job that is still writing to its end', async () => {
    const job = await order();
    const { log, text } = lines(30);
    job.body.state = 'running';
    const followed = follow(job);
    for (let end = 100; end < log.length; end += 100) {
      job.log = log.subarray(0, end);
      await new Promise((wait) => setTimeout(wait, 2));
    }
    finish(job, log);
    await followed.result;
    expect(followed.text()).toBe(text);
  });

  it('asks again while the control plane is starting', async () => {
    const job = await order();
    finish(job, lines(3).log);
    farEnd.unavailable = 3;
    const followed = follow(job);
    await followed.result;
    expect(followed.text()).toBe(lines(3).text);
  });

  it('begins so many lines before the end', async () => {
    const job = await order();
    finish(job, lines(10).log);
    const followed = follow(job, { from: { tail: 3 }, follow: false });
    await followed.result;
    expect(
      followed
        .text()
        .split('\n')
        .map((line) => line.slice(0, 7)),
    ).toEqual(['line 8 ', 'line 9 ', 'line 10', '']);
  });

  it('says how much of an ended log could not be had, instead of waiting for ever', async () => {
    const job = await order();
    const { log } = lines(3);
    finish(job, log);
    job.log = log.subarray(0, 20);
    await expect(follow(job).result).resolves.toMatchObject({ missingBytes: log.length - 20 });
  });

  it('gives up with exit status 5 when nobody answers for longer than the job may live', async () => {
    const job = await order();
    await farEnd.stop();
    await expect(follow(job, { giveUpAt: () => 0 }).result).rejects.toMatchObject({
      code: 'outcome_unknown',
      exitStatus: 5,
    });
    await farEnd.start();
  });

  it('does not try again what the control plane refuses', async () => {
    const job = await order();
    farEnd.people.clear();
    await expect(follow(job).result).rejects.toMatchObject({
      code: 'unauthenticated',
      exitStatus: 3,
    });
  });

  it('says so when the bytes are no log', async () => {
    const job = await order();
    finish(job, Buffer.alloc(64, 0xff));
    await expect(follow(job).result).rejects.toMatchObject({ code: 'log_damaged', exitStatus: 1 });
  });

  it('passes an error of its reader on, without reading again', async () => {
    const job = await order();
    finish(job, lines(3).log);
    const failing = follow(job, { onRecords: () => Promise.reject(new Error('disk full')) });
    await expect(failing.result).rejects.toThrow('disk full');
  });

  it('stops at once when told to', async () => {
    const job = await order();
    job.body.state = 'running';
    const left = new AbortController();
    const followed = follow(job, { signal: left.signal });
    setTimeout(() => left.abort(), 30);
    await expect(followed.result).rejects.toThrow(/abort/i);
  });
});
