import * as grpc from '@grpc/grpc-js';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { useLogScene } from '../../test/fixtures/log-scene.ts';
import { begin } from '../../test/fixtures/ordered-jobs.ts';
import { storedLog } from '../../test/fixtures/stored-log.ts';
import { chunkOf, encodeLog, lineEnds, sha256 } from '../../test/fixtures/test-agent.ts';
import { createLocalBus } from '../cluster/bus.ts';
import { openDatabase } from '../database/database.ts';
import { openChunk } from './chunk.ts';
import { LogUploads } from './log-uploads.ts';

const test = useTestDatabase();
const scene = useLogScene(test);

describe('when the database', () => {
  it('is slow, the sender waits: only so much is held, and everything arrives', async () => {
    const jobId = await scene.newJob();
    const chunk = 16 * 1024;
    const log = randomBytes(12 * 1024 * 1024);
    const upload = scene.field.agent.upload(jobId);
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
    expect(sha256((await storedLog(test.database, jobId)).bytes)).toBe(sha256(log));
  });

  it('breaks off, the upload ends as unavailable and goes on where the last commit was', async () => {
    const jobId = await scene.newJob();
    const log = randomBytes(3 * 1024 * 1024);
    let at = 0;
    let cuts = 0;
    while (at < log.length) {
      const upload = scene.field.agent.upload(jobId);
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
    const { bytes } = await vi.waitFor(() => storedLog(test.database, jobId), { timeout: 30_000 });
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
        const order = await begin(scene.field);
        const jobId = order.payload.job;
        const log = encodeLog(...texts.map((text) => `${text}\n`));
        const client = scene.field.agent.client();
        const stops = [...cuts, null];
        for (const stop of stops) {
          const upload = scene.field.agent.upload(jobId, client);
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
        const { bytes, lines } = await storedLog(test.database, jobId);
        expect(bytes).toEqual(log);
        expect(lines).toBe(lineEnds(log).length);
        scene.field.session.send({ ended: scene.field.agent.ended(order, log, { tail: [] }) });
        await scene.field.session.acknowledged(jobId, 'ended');
        expect((await scene.field.orders.job(order)).log.verified).toBe(true);
        client.close();
      }),
      { numRuns: 40 },
    );
  }, 120_000);

  it('whoever else writes the same log at the same time', async () => {
    await fc.assert(
      fc.asyncProperty(plan, async ({ texts, sizes }) => {
        const jobId = await scene.newJob();
        const log = encodeLog(...texts.map((text) => `${text}\n`));
        // As two control planes would, neither of which knows of the other.
        const write = async (pieces: readonly number[]) => {
          const uploads = new LogUploads({ database: test.database, bus: createLocalBus() });
          const upload = await uploads.open({
            jobId,
            agentId: scene.field.agent.agentId,
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
        const { bytes } = await storedLog(test.database, jobId);
        expect(log.subarray(0, bytes.length)).toEqual(bytes);
        await write([500]);
        expect((await storedLog(test.database, jobId)).bytes).toEqual(log);
      }),
      { numRuns: 25 },
    );
  }, 120_000);
});
