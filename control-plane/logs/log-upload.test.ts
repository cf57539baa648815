import * as grpc from '@grpc/grpc-js';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { openDatabase } from '../database/database.ts';
import { begin, takeTheField } from '../../test/fixtures/ordered-jobs.ts';
import type { Field } from '../../test/fixtures/ordered-jobs.ts';
import { chunkOf, encodeLog, lineEnds, sha256 } from '../../test/fixtures/test-agent.ts';
import type { TestUpload } from '../../test/fixtures/test-agent.ts';
import { createLocalBus } from '../cluster/bus.ts';
import { openChunk } from './chunk.ts';
import { digestStoredLog } from './log-digest.ts';
import { readChunks } from './log-store.ts';
import { LogUploads } from './log-uploads.ts';

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

async function newJob(): Promise<string> {
  return (await begin(field)).payload.job;
}

async function stored(jobId: string): Promise<{ bytes: Buffer; lines: number; rows: number }> {
  const [row] = await test.database.query<{ day: string; lines: number; offset: number }>(
    `select to_char(created_at at time zone 'utc', 'YYYY-MM-DD') as day, log_lines as lines,
       log_offset as "offset" from jobs where id = $1`,
    [jobId],
  );
  const chunks = await readChunks(test.database, { jobId, day: row!.day }, 0, 100_000);
  let at = 0;
  let line = 0;
  for (const chunk of chunks) {
    // No byte is missing, none is there twice; line numbers follow on.
    expect(chunk.offset).toBe(at);
    expect(chunk.firstLine).toBe(line);
    at += chunk.bytes.length;
    line += chunk.lines;
  }
  expect(row!.offset).toBe(at);
  expect(row!.lines).toBe(line);
  const bytes = Buffer.concat(chunks.map((chunk) => chunk.bytes));
  return { bytes, lines: line, rows: chunks.length };
}

const INVALID = grpc.status.INVALID_ARGUMENT;

describe('the upload of a log', () => {
  it('is told how far everything is committed, at once and after each commit', async () => {
    const jobId = await newJob();
    const log = encodeLog(...Array.from({ length: 50 }, (_, at) => `line ${at}\n`));
    const upload = field.agent.upload(jobId);
    expect(await upload.begin()).toBe(0);
    for (let offset = 0; offset < log.length; offset += 100) await upload.send(log, offset, 100);
    await upload.committed(log.length);
    expect((await upload.close()).code).toBe(grpc.status.OK);
    expect((await stored(jobId)).bytes).toEqual(log);
    const again = field.agent.upload(jobId);
    expect(await again.begin()).toBe(log.length);
    await again.close();
  });

  it('is refused where the log goes beyond what is stored of one job, with one alarm', async () => {
    const jobId = await newJob();
    const log = encodeLog('one\n', 'two\n', 'three\n');
    const bus = createLocalBus();
    const uploads = new LogUploads({ database: test.database, bus, maxBytes: log.length - 1 });
    for (let time = 0; time < 2; time++) {
      const upload = await uploads.open({
        jobId,
        agentId: field.agent.agentId,
        onCommitted: () => {},
        onFailed: () => {},
      });
      upload.writer.accept(openChunk(chunkOf(log, 0, 20) as never));
      expect(() =>
        upload.writer.accept(openChunk(chunkOf(log, 20, log.length - 20) as never)),
      ).toThrow(expect.objectContaining({ code: 'log_too_long' }));
      await upload.close();
    }
    expect((await stored(jobId)).bytes).toEqual(log.subarray(0, 20));
    const alarms = await test.database.query(
      `select content->>'code' as code from job_events where job_id = $1 and kind = 'alarm'`,
      [jobId],
    );
    expect(alarms).toEqual([{ code: 'log_too_long' }]);
  });

  it('stores chunks as the agent compressed them', async () => {
    const jobId = await newJob();
    const log = encodeLog('x'.repeat(16_000));
    const data = zstdCompressSync(log, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    const upload = field.agent.upload(jobId);
    await upload.begin();
    await upload.sendChunk({ offset: 0, length: log.length, compression: 1, data });
    await upload.committed(log.length);
    await upload.close();
    const [row] = await test.database.query<{ data: Buffer; compression: number }>(
      'select data, compression from log_chunks where job_id = $1',
      [jobId],
    );
    expect(row).toEqual({ data, compression: 1 });
    expect((await stored(jobId)).bytes).toEqual(log);
  });

  it('takes what comes again, cut at other places, once', async () => {
    const jobId = await newJob();
    const log = encodeLog('alpha\n', 'beta\n', 'gamma\n', 'delta\n');
    const upload = field.agent.upload(jobId);
    await upload.begin();
    for (const [offset, length] of [
      [0, 30],
      [0, 30],
      [10, 25],
      [0, 50],
      [49, 20],
      [0, log.length],
      [20, 5],
    ] as const) {
      await upload.send(log, offset, length);
    }
    await upload.committed(log.length);
    await upload.close();
    const { bytes, lines } = await stored(jobId);
    expect(bytes).toEqual(log);
    expect(lines).toBe(4);
  });

  it('ends at a gap, and nothing behind it is stored', async () => {
    const jobId = await newJob();
    const log = encodeLog('one\n', 'two\n', 'three\n');
    const upload = field.agent.upload(jobId);
    await upload.begin();
    await upload.send(log, 0, 17);
    await upload.committed(17);
    await upload.send(log, 34, 10);
    expect((await upload.answers.ended).code).toBe(grpc.status.OUT_OF_RANGE);
    expect((await stored(jobId)).bytes).toEqual(log.subarray(0, 17));
    const again = field.agent.upload(jobId);
    expect(await again.begin()).toBe(17);
    await again.send(log, 17, log.length);
    await again.committed(log.length);
    await again.close();
  });

  it('gives way to a newer one of the same job', async () => {
    const jobId = await newJob();
    const log = encodeLog('one\n', 'two\n');
    const former = field.agent.upload(jobId);
    await former.begin();
    await former.send(log, 0, 17);
    await former.committed(17);
    const newer = field.agent.upload(jobId);
    expect(await newer.begin()).toBe(17);
    expect(await former.answers.ended).toMatchObject({
      code: grpc.status.FAILED_PRECONDITION,
      details: expect.stringContaining('upload_superseded') as string,
    });
    await newer.send(log, 17, 17);
    await newer.committed(log.length);
    await newer.close();
    expect((await stored(jobId)).bytes).toEqual(log);
  });

  it('is over when the job has ended', async () => {
    const order = await begin(field);
    const jobId = order.payload.job;
    const log = encodeLog('all of it\n');
    field.session.send({ ended: field.agent.ended(order, log) });
    await field.session.acknowledged(jobId, 'ended');
    const upload = field.agent.upload(jobId);
    expect(await upload.begin()).toBe(log.length);
    const longer = Buffer.concat([log, encodeLog('more\n')]);
    await upload.send(longer, log.length, 18);
    expect((await upload.answers.ended).details).toContain('log_complete');
    expect((await stored(jobId)).bytes).toEqual(log);
  });

  const bomb = zstdCompressSync(Buffer.alloc(64 * 1024 * 1024));
  const invalid: [string, Parameters<TestUpload['sendChunk']>[0]][] = [
    ['is empty', { offset: 0, length: 0, data: Buffer.alloc(0) }],
    ['is shorter than it says', { offset: 0, length: 5, data: Buffer.from('1234') }],
    ['is longer than it says', { offset: 0, length: 3, data: Buffer.from('1234') }],
    ['is longer than any may be', { offset: 0, length: 300_000, data: Buffer.from('1') }],
    ['opens to far more than it says', { offset: 0, length: 1_000, compression: 1, data: bomb }],
    ['is no zstd', { offset: 0, length: 4, compression: 1, data: Buffer.from('1234') }],
    [
      'has an unknown compression',
      { offset: 0, length: 4, compression: 9, data: Buffer.from('1234') },
    ],
    ['lies beyond 2^53', { offset: '9007199254740993', length: 1, data: Buffer.from('1') }],
    ['has more lines than bytes', { offset: 0, length: 1, lines: 2, data: Buffer.from('\n') }],
  ];
  it.each(invalid)('ends at a chunk that %s', async (_, chunk) => {
    const jobId = await newJob();
    const upload = field.agent.upload(jobId);
    await upload.begin();
    const before = process.memoryUsage().rss;
    await upload.sendChunk(chunk);
    expect((await upload.answers.ended).code).toBe(INVALID);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * 1024 * 1024);
    expect((await stored(jobId)).bytes).toHaveLength(0);
  });

  it('needs a job id first, and then chunks only', async () => {
    const client = field.agent.client();
    for (const message of [
      { chunk: { offset: 0, length: 1, data: Buffer.from('1') } },
      { jobId: 'x' },
    ]) {
      const call = client.uploadLog();
      call.on('error', () => {});
      const status = new Promise<grpc.StatusObject>((resolve) => call.on('status', resolve));
      call.resume();
      call.write(message);
      expect((await status).code).toBe(INVALID);
    }
    const upload = field.agent.upload(await newJob());
    await upload.begin();
    upload.call.write({ jobId: await newJob() });
    expect((await upload.answers.ended).code).toBe(INVALID);
  });
});

describe('when the database', () => {
  it('is slow, the sender waits: only so much is held, and everything arrives', async () => {
    const jobId = await newJob();
    const chunk = 16 * 1024;
    const log = randomBytes(12 * 1024 * 1024);
    const upload = field.agent.upload(jobId);
    await upload.begin();
    let sent = 0;
    const hold = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const blocker = test.database.transaction(async (queries) => {
      await queries.query('select from jobs where id = $1 for update', [jobId]);
      locked.resolve();
      await hold.promise;
    });
    await locked.promise;
    const sending = (async () => {
      for (; sent < log.length; sent += chunk) {
        const data = log.subarray(sent, sent + chunk);
        await upload.sendChunk({ offset: sent, length: chunk, data });
      }
    })();
    await sleep(1_500);
    const held = sent;
    await sleep(500);
    expect(sent).toBe(held);
    // Its queue, the receive window and the client's own buffers.
    expect(held).toBeLessThan(8 * 1024 * 1024);
    hold.resolve();
    await blocker;
    await sending;
    await upload.committed(log.length);
    await upload.close();
    expect(sha256((await stored(jobId)).bytes)).toBe(sha256(log));
  });

  it('breaks off, the upload ends as unavailable and goes on where the last commit was', async () => {
    const jobId = await newJob();
    const log = randomBytes(3 * 1024 * 1024);
    let at = 0;
    let cuts = 0;
    while (at < log.length) {
      const upload = field.agent.upload(jobId);
      at = await upload.begin();
      const isOver = upload.answers.ended.then(() => true);
      const breaking = (async () => {
        if (cuts++ >= 4) return;
        await sleep(Math.random() * 40);
        const other = openDatabase({ ...test.config, max: 1 });
        await other.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and pid <> pg_backend_pid()`,
        );
        await other.close();
      })();
      for (let offset = at; offset < log.length; offset += 16_384) {
        const length = Math.min(16_384, log.length - offset);
        upload.call.write({
          chunk: { offset, length, data: log.subarray(offset, offset + length) },
        });
      }
      await breaking;
      const outcome = await Promise.race([
        upload.committed(log.length).catch(() => false),
        isOver.then(() => false),
      ]);
      if (outcome) break;
      expect((await upload.answers.ended).code).toBe(grpc.status.UNAVAILABLE);
      await sleep(50);
    }
    // The reader's own connection may have been among those that were ended.
    const { bytes } = await vi.waitFor(() => stored(jobId), { timeout: 5_000 });
    expect(sha256(bytes)).toBe(sha256(log));
  });
});

describe('stored bytes are sent bytes, each once', () => {
  /** A log, and how it is sent: pieces by size, with cuts after which some is sent again. */
  const plan = fc.record({
    texts: fc.array(fc.string({ maxLength: 300 }), { minLength: 1, maxLength: 40 }),
    sizes: fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 30 }),
    cuts: fc.array(fc.record({ after: fc.nat(12), back: fc.nat(900) }), { maxLength: 5 }),
    compress: fc.boolean(),
  });

  it('whatever the cuts of the stream', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ texts, sizes, cuts, compress }) => {
        const order = await begin(field);
        const jobId = order.payload.job;
        const log = encodeLog(...texts.map((text) => `${text}\n`));
        const client = field.agent.client();
        const stops = [...cuts, null];
        for (const stop of stops) {
          const upload = field.agent.upload(jobId, client);
          let offset = Math.max(0, (await upload.begin()) - (stop?.back ?? 0));
          for (let sent = 0; offset < log.length && sent !== stop?.after; sent++) {
            const chunk = chunkOf(log, offset, sizes[sent % sizes.length]!);
            const data = compress ? zstdCompressSync(chunk.data as Buffer) : chunk.data!;
            await upload.sendChunk({ ...chunk, data, compression: compress ? 1 : 0 });
            offset += chunk.length!;
          }
          if (stop === null) {
            await upload.committed(log.length);
            await upload.close();
          } else {
            upload.call.cancel();
          }
        }
        const { bytes, lines } = await stored(jobId);
        expect(bytes).toEqual(log);
        expect(lines).toBe(lineEnds(log).length);
        field.session.send({ ended: field.agent.ended(order, log, { tail: [] }) });
        await field.session.acknowledged(jobId, 'ended');
        expect((await field.orders.job(order)).log.verified).toBe(true);
        client.close();
      }),
      { numRuns: 40 },
    );
  }, 120_000);

  it('whoever else writes the same log at the same time', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ texts, sizes }) => {
        const jobId = await newJob();
        const log = encodeLog(...texts.map((text) => `${text}\n`));
        // As two control planes would, neither of which knows of the other.
        const write = async (pieces: readonly number[]) => {
          const uploads = new LogUploads({ database: test.database, bus: createLocalBus() });
          const upload = await uploads.open({
            jobId,
            agentId: field.agent.agentId,
            onCommitted: () => {},
            onFailed: () => {},
          });
          for (let offset = 0, at = 0; offset < log.length; at++) {
            const chunk = chunkOf(log, offset, pieces[at % pieces.length]!);
            offset += chunk.length!;
            if (offset > upload.writer.tail.start) {
              try {
                upload.writer.accept(openChunk(chunk as never));
              } catch {
                break;
              }
            }
            if (at % 3 === 0) await sleep(0);
          }
          await upload.close();
        };
        await Promise.all([write(sizes), write(sizes.toReversed()), write([977])]);
        const { bytes } = await stored(jobId);
        expect(log.subarray(0, bytes.length)).toEqual(bytes);
        await write([500]);
        expect((await stored(jobId)).bytes).toEqual(log);
      }),
      { numRuns: 25 },
    );
  }, 120_000);
});

describe('the digest of a stored log', () => {
  it('is that of its bytes, and none when some are missing', async () => {
    const jobId = await newJob();
    const log = encodeLog('one\n', 'two\n', 'three\n');
    const upload = field.agent.upload(jobId);
    await upload.begin();
    await upload.send(log, 0, 17);
    await upload.send(log, 17, 17);
    await upload.send(log, 34, log.length - 34);
    await upload.committed(log.length);
    await upload.close();
    const day = new Date().toISOString().slice(0, 10);
    expect(await digestStoredLog(test.database, { jobId, day }, log.length)).toBe(sha256(log));
    expect(await digestStoredLog(test.database, { jobId, day }, 0)).toBe(sha256(Buffer.alloc(0)));
    await test.database.query('delete from log_chunks where job_id = $1 and start = 17', [jobId]);
    expect(await digestStoredLog(test.database, { jobId, day }, log.length)).toBeNull();
  });
});
