import fc from 'fast-check';
import pino from 'pino';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { UploadLogRequest__Output, UploadLogResponse } from '../../proto/wire.ts';
import { openChannel } from './channel.ts';
import type { Channel } from './channel.ts';
import type { AgentIdentity } from './identity.ts';
import { LogReader } from './log-reader.ts';
import { LogUpload, WINDOW_BYTES } from './log-upload.ts';
import { FarEnd } from './testing/far-end.ts';
import { makeIdentity } from './testing/test-identity.ts';
import { TestJob } from './testing/test-job.ts';

type Upload = ServerDuplexStream<UploadLogRequest__Output, UploadLogResponse>;

let farEnd: FarEnd;
let identity: AgentIdentity;
let channel: Channel;
let onUpload: ((call: Upload) => void) | undefined;
const jobs: TestJob[] = [];
const log = pino({ level: 'silent' });

beforeAll(async () => {
  farEnd = await FarEnd.start({ onUpload: (call) => (onUpload ?? farEnd.store)(call) });
  identity = await makeIdentity(farEnd.authority);
  connect();
});
afterEach(async () => {
  onUpload = undefined;
  for (const job of jobs.splice(0)) await job.remove();
});
afterAll(async () => {
  channel.close();
  await farEnd.stop();
});

function connect(): void {
  channel = openChannel({
    address: farEnd.address,
    authority: identity.authorityPem,
    identity: { certificate: identity.certificatePem, key: identity.tlsKeyPem },
    nowMs: Date.now,
  });
}

async function newJob(): Promise<TestJob> {
  const job = await TestJob.create(`job-${Math.random()}`);
  jobs.push(job);
  return job;
}

/** An upload, and what it told. */
function upload(job: TestJob, reader = new LogReader(job)) {
  const commits: number[] = [];
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };
  let closed: { error: Error | null } | null = null;
  const running = new LogUpload({
    job,
    reader,
    stream: channel.client.uploadLog(),
    onCommitted: (offset) => {
      commits.push(offset);
      wake();
    },
    onClosed: (error) => {
      closed = { error };
      wake();
    },
    log,
  });
  job.onChange(() => running.pump());
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise<void>((resolve) => waiting.add(resolve));
  };
  return {
    running,
    commits,
    reader,
    get closed() {
      return closed;
    },
    committed: (offset: number) => until(() => (commits.at(-1) ?? -1) >= offset || closed !== null),
    over: () => until(() => closed !== null),
  };
}

async function readAll(job: TestJob): Promise<Buffer> {
  const reader = new LogReader(job);
  const pieces: Buffer[] = [];
  for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
    pieces.push(piece.bytes);
  }
  return Buffer.concat(pieces);
}

describe('LogUpload', () => {
  it('sends what is there and what comes, byte for byte', async () => {
    const job = await newJob();
    job.print('first\n');
    const { committed, running } = upload(job);
    job.print(Buffer.alloc(300_000, 'some line of text\n'));
    await delay(20);
    job.print('last\n');
    await job.drain();
    await committed(job.logLength);
    running.close();
    const far = farEnd.log(job.id);
    expect(far.faults).toEqual([]);
    expect(far.committed).toEqual(await readAll(job));
  });

  it('sends a line at once: within a few milliseconds it is on the other side', async () => {
    const job = await newJob();
    const { committed, running } = upload(job);
    await committed(0);
    const lags: number[] = [];
    for (let line = 0; line < 30; line++) {
      const startedAt = performance.now();
      job.print(`line ${line}\n`);
      await job.drain();
      await committed(job.logLength);
      lags.push(performance.now() - startedAt);
      await delay(3);
    }
    running.close();
    expect(farEnd.log(job.id).chunks).toBe(30);
    expect(lags.toSorted((a, b) => a - b)[15]).toBeLessThan(20);
  });

  it('joins small pieces when many come faster than they are committed', async () => {
    const job = await newJob();
    let received = 0;
    onUpload = (call) => {
      call.write({ committedOffset: 0 });
      call.on('data', (request: UploadLogRequest__Output) => {
        if (request.chunk) received = farEnd.log(job.id).take(request.chunk);
        if (received === job.logLength) call.write({ committedOffset: received });
      });
    };
    const { committed, running } = upload(job);
    await committed(0);
    for (let line = 0; line < 3000; line++) {
      job.print(`line ${line}\n`);
      if (line % 10 === 0) await job.drain();
    }
    await job.drain();
    await committed(job.logLength);
    running.close();
    const far = farEnd.log(job.id);
    expect(far.faults).toEqual([]);
    expect(far.lines).toBe(3000);
    expect(far.chunks).toBeLessThan(150);
  });

  it('arrives whole, in order and once, however often the connection is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
        async (cutAfterChunks) => {
          const job = await newJob();
          job.print(Buffer.alloc(1_000_000, 'a line that is repeated\n'));
          await job.drain();
          let reader = new LogReader(job);
          for (const chunks of cutAfterChunks) {
            let seen = 0;
            onUpload = (call) => {
              farEnd.store(call);
              call.on('data', (request: UploadLogRequest__Output) => {
                if (request.body === 'chunk' && ++seen === chunks) farEnd.cut();
              });
            };
            const attempt = upload(job, reader);
            await Promise.race([attempt.committed(job.logLength), attempt.over()]);
            attempt.running.close();
            reader = reader.fork();
            channel.close();
            connect();
          }
          onUpload = undefined;
          const last = upload(job, reader);
          await last.committed(job.logLength);
          last.running.close();
          const far = farEnd.log(job.id);
          expect(far.faults).toEqual([]);
          expect(far.committed.equals(await readAll(job))).toBe(true);
          expect(far.lines).toBe(Math.floor(1_000_000 / 24));
        },
      ),
      { numRuns: 8 },
    );
  });

  it('has no more than a window under way while nothing is acknowledged', async () => {
    const job = await newJob();
    job.print(Buffer.alloc(WINDOW_BYTES + 4_000_000, 'text that is easily compressed\n'));
    await job.drain();
    let received = 0;
    let call: Upload | undefined;
    onUpload = (stream) => {
      call = stream;
      stream.on('data', (request: UploadLogRequest__Output) => {
        if (request.body === 'jobId') stream.write({ committedOffset: 0 });
        received += request.chunk?.length ?? 0;
      });
    };
    const { running, committed } = upload(job);
    await expect.poll(() => received, { timeout: 30_000 }).toBeGreaterThanOrEqual(WINDOW_BYTES);
    await delay(100);
    expect(received).toBeLessThan(WINDOW_BYTES + 64 * 1024);
    call!.write({ committedOffset: received });
    await expect.poll(() => received, { timeout: 30_000 }).toBe(job.logLength);
    call!.write({ committedOffset: received });
    await committed(received);
    running.close();
  });

  it('ends with an error when more was committed than the log has', async () => {
    const job = await newJob();
    job.print('short\n');
    await job.drain();
    onUpload = (call) => call.on('data', () => call.write({ committedOffset: 1_000_000 }));
    const attempt = upload(job);
    await attempt.over();
    expect(attempt.closed?.error?.message).toMatch(/no byte 1000000/);
  });

  it('ends with the error of the call when the other side fails it', async () => {
    const job = await newJob();
    onUpload = (call) => {
      call.emit('error', Object.assign(new Error(), { code: 5, details: 'no such job' }));
    };
    const attempt = upload(job);
    await attempt.over();
    expect(attempt.closed?.error?.message).toMatch(/no such job/);
  });
});
