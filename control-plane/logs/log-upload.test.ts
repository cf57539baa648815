import * as grpc from '@grpc/grpc-js';
import { constants, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { useLogScene } from '../../test/fixtures/log-scene.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import { storedLog } from '../../test/fixtures/stored-log.ts';
import { chunkOf, encodeLog, sha256 } from '../../test/fixtures/test-agent.ts';
import type { TestUpload } from '../../test/fixtures/test-agent.ts';
import { createLocalBus } from '../cluster/bus.ts';
import { openChunk } from './chunk.ts';
import { digestStoredLog } from './log-digest.ts';
import { LogUploads } from './log-uploads.ts';

const test = useTestDatabase();
const scene = useLogScene(test);

const INVALID = grpc.status.INVALID_ARGUMENT;

describe('the upload of a log', () => {
  it('is told how far everything is committed, at once and after each commit', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog(...Array.from({ length: 50 }, (_, at) => `line ${at}\n`));
    const upload = scene.field.agent.upload(jobId);
    expect(await upload.begin()).toBe(0);
    for (let offset = 0; offset < log.length; offset += 100) await upload.send(log, offset, 100);
    await upload.committed(log.length);
    expect((await upload.close()).code).toBe(grpc.status.OK);
    expect((await storedLog(test.database, jobId)).bytes).toEqual(log);
    const again = scene.field.agent.upload(jobId);
    expect(await again.begin()).toBe(log.length);
    await again.close();
  });

  it('is refused where the log goes beyond what is stored of one job, with one alarm', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog('one\n', 'two\n', 'three\n');
    const bus = createLocalBus();
    const uploads = new LogUploads({ database: test.database, bus, maxBytes: log.length - 1 });
    for (let time = 0; time < 2; time++) {
      const upload = await uploads.open({
        jobId,
        agentId: scene.field.agent.agentId,
        onCommitted: () => {},
        onFailed: () => {},
      });
      upload.writer.accept(openChunk(chunkOf(log, 0, 20) as never));
      expect(() =>
        upload.writer.accept(openChunk(chunkOf(log, 20, log.length - 20) as never)),
      ).toThrow(expect.objectContaining({ code: 'log_too_long' }));
      await upload.close();
    }
    expect((await storedLog(test.database, jobId)).bytes).toEqual(log.subarray(0, 20));
    const alarms = await test.database.query(
      `select content->>'code' as code from job_events where job_id = $1 and kind = 'alarm'`,
      [jobId],
    );
    expect(alarms).toEqual([{ code: 'log_too_long' }]);
  });

  it('stores chunks as the agent compressed them', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog('x'.repeat(16_000));
    const data = zstdCompressSync(log, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    const upload = scene.field.agent.upload(jobId);
    await upload.begin();
    await upload.sendChunk({ offset: 0, length: log.length, compression: 1, data });
    await upload.committed(log.length);
    await upload.close();
    const [row] = await test.database.query<{ data: Buffer; compression: number }>(
      'select data, compression from log_chunks where job_id = $1',
      [jobId],
    );
    expect(row).toEqual({ data, compression: 1 });
    expect((await storedLog(test.database, jobId)).bytes).toEqual(log);
  });

  it('takes what comes again, cut at other places, once', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog('alpha\n', 'beta\n', 'gamma\n', 'delta\n');
    const upload = scene.field.agent.upload(jobId);
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
    const { bytes, lines } = await storedLog(test.database, jobId);
    expect(bytes).toEqual(log);
    expect(lines).toBe(4);
  });

  it('ends at a gap, and nothing behind it is stored', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog('one\n', 'two\n', 'three\n');
    const upload = scene.field.agent.upload(jobId);
    await upload.begin();
    await upload.send(log, 0, 17);
    await upload.committed(17);
    await upload.send(log, 34, 10);
    expect((await upload.answers.ended).code).toBe(grpc.status.OUT_OF_RANGE);
    expect((await storedLog(test.database, jobId)).bytes).toEqual(log.subarray(0, 17));
    const again = scene.field.agent.upload(jobId);
    expect(await again.begin()).toBe(17);
    await again.send(log, 17, log.length);
    await again.committed(log.length);
    await again.close();
  });

  it('gives way to a newer one of the same job', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog('one\n', 'two\n');
    const former = scene.field.agent.upload(jobId);
    await former.begin();
    await former.send(log, 0, 17);
    await former.committed(17);
    const newer = scene.field.agent.upload(jobId);
    expect(await newer.begin()).toBe(17);
    expect(await former.answers.ended).toMatchObject({
      code: grpc.status.FAILED_PRECONDITION,
      details: expect.stringContaining('upload_superseded') as string,
    });
    await newer.send(log, 17, 17);
    await newer.committed(log.length);
    await newer.close();
    expect((await storedLog(test.database, jobId)).bytes).toEqual(log);
  });

  it('is over when the job has ended', async () => {
    const order = await begin(scene.field);
    const jobId = order.payload.job;
    const log = encodeLog('all of it\n');
    scene.field.session.send({ ended: scene.field.agent.ended(order, log) });
    await scene.field.session.acknowledged(jobId, 'ended');
    const upload = scene.field.agent.upload(jobId);
    expect(await upload.begin()).toBe(log.length);
    const longer = Buffer.concat([log, encodeLog('more\n')]);
    await upload.send(longer, log.length, 18);
    expect((await upload.answers.ended).details).toContain('log_complete');
    expect((await storedLog(test.database, jobId)).bytes).toEqual(log);
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
    const jobId = await scene.newJob();
    const upload = scene.field.agent.upload(jobId);
    await upload.begin();
    const before = process.memoryUsage().rss;
    await upload.sendChunk(chunk);
    expect((await upload.answers.ended).code).toBe(INVALID);
    expect(process.memoryUsage().rss - before).toBeLessThan(48 * 1024 * 1024);
    expect((await storedLog(test.database, jobId)).bytes).toHaveLength(0);
  });

  it('needs a job id first, and then chunks only', async () => {
    const client = scene.field.agent.client();
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
    const upload = scene.field.agent.upload(await scene.newJob());
    await upload.begin();
    upload.call.write({ jobId: await scene.newJob() });
    expect((await upload.answers.ended).code).toBe(INVALID);
  });
});

describe('the digest of a stored log', () => {
  it('is that of its bytes, and none when some are missing', async () => {
    const jobId = await scene.newJob();
    const log = encodeLog('one\n', 'two\n', 'three\n');
    const upload = scene.field.agent.upload(jobId);
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
