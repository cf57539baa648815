import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { JobEnded__Output } from '../../proto/wire.ts';
import { INLINE_LOG_BYTES } from './job-report.ts';
import type { FarEnd, FarSession } from './testing/far-end.ts';
import { Closing } from './testing/near-end.ts';
import { startReporting } from './testing/reporting.ts';
import { TestJob } from './testing/test-job.ts';

const soon = { timeout: 30_000 };
const closing = new Closing();
afterEach(() => closing.all());

function eventsOf(session: FarSession, job = 'job'): { type: string; sequence: number }[] {
  return session
    .all('events')
    .filter((events) => events.jobId === job)
    .flatMap((events) =>
      events.records!.map((record, index) => ({
        type: (JSON.parse(record.toString()) as { type: string }).type,
        sequence: events.firstSequence! + index,
      })),
    );
}

/** The log as the far end has it after the end: what was uploaded, and the tail. */
function wholeLog(farEnd: FarEnd, ended: JobEnded__Output): Buffer {
  const log = farEnd.log(ended.jobId!);
  for (const chunk of ended.tail!) log.take(chunk);
  expect(log.faults).toEqual([]);
  return log.committed;
}

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('Reporter', () => {
  it('reports a short job without an upload stream: receipt, journal, end with its log', async () => {
    const { farEnd, start, released } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await start();
    job.print('hello\n');
    const end = await job.end();
    const ended = await session.next('ended');
    expect(session.received.map((message) => message.body)).toEqual(
      expect.arrayContaining(['hello', 'receipt', 'events', 'ended']),
    );
    expect(session.all('receipt')).toMatchObject([
      { jobId: 'job', receipt: Buffer.from('receipt of job') },
    ]);
    expect(eventsOf(session)).toEqual([
      { type: 'received', sequence: 0 },
      { type: 'started', sequence: 1 },
      { type: 'ended', sequence: 2 },
    ]);
    expect(ended).toMatchObject({
      receipt: Buffer.from('end of job'),
      result: Buffer.from('{"exitStatus":0,"signal":null}'),
      logLength: end.log.bytes,
    });
    expect(digestOf(wholeLog(farEnd, ended))).toBe(end.log.digest);
    expect(farEnd.uploads).toBe(0);
    session.send({ acknowledged: { jobId: 'job', receipt: true, nextSequence: 3, ended: true } });
    await expect.poll(() => released, soon).toEqual(['job']);
  });

  it('says all of a job that was over at once in one message, and nothing of it twice', async () => {
    const { farEnd, reporter } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await TestJob.create('short');
    job.note({ type: 'received', at: 1, job: 'short', version: 1 });
    job.note({ type: 'started', at: 2 });
    job.print('hello\n');
    await job.end();
    reporter.addLost(job);
    const ended = await session.next('ended');
    expect(ended.accepted).toEqual(Buffer.from('receipt of short'));
    expect(ended.events!.records).toHaveLength(3);
    reporter.acknowledge({ job: 'other', receipt: true, nextSequence: null, ended: false });
    reporter.pump();
    await delay(50);
    expect(session.all('receipt')).toHaveLength(1);
    expect(eventsOf(session, 'short')).toHaveLength(3);
    await job.remove();
  });

  it('sends a journal that is too long for one message before the end', async () => {
    const { farEnd, reporter } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await TestJob.create('long');
    job.note({ type: 'started', at: 1 });
    for (let step = 0; step < 40; step++) {
      job.note({ type: 'stop_requested', at: step, mode: 'now', why: 'x'.repeat(1_000) });
    }
    await job.end();
    reporter.addLost(job);
    const ended = await session.next('ended');
    expect([ended.accepted!.length, ended.events]).toEqual([0, null]);
    expect(eventsOf(session, 'long')).toHaveLength(42);
    await job.remove();
  });

  it('states the end again and again while it cannot be made, and once when it can', async () => {
    const { farEnd, reporter, start } = await startReporting(closing, { failingEnds: 2 });
    const session = await farEnd.session();
    const job = await start();
    job.print('hello\n');
    await job.end();
    reporter.pump();
    const ended = await session.next('ended');
    expect(ended.receipt).toEqual(Buffer.from('end of job'));
    reporter.pump();
    await delay(50);
    expect(session.all('ended')).toHaveLength(1);
  });

  it('keeps a thousand refusals and greets with five hundred, jobs first', async () => {
    const { reporter, start } = await startReporting(closing);
    await start('job');
    for (let count = 0; count < 1_100; count++) reporter.repeat(`refused-${count}`);
    expect(reporter.unfinished).toHaveLength(1_001);
    expect(reporter.unfinished).not.toContain('refused-99');
    expect(reporter.greeted).toHaveLength(500);
    expect(reporter.greeted).toContain('job');
    expect(reporter.greeted).toContain('refused-1099');
    reporter.forgetRefusal('job');
    reporter.forgetRefusal('refused-1099');
    expect(reporter.unfinished).toHaveLength(1_000);
    expect(reporter.greeted).toContain('job');
  });

  it('says nothing of a job before it has started', async () => {
    const { farEnd, reporter } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await TestJob.create('starting');
    reporter.addLost(job);
    job.note({ type: 'received', at: 1, job: 'starting', version: 1 });
    await delay(50);
    expect(session.all('receipt')).toEqual([]);
    job.note({ type: 'started', at: 2 });
    await session.next('events');
    expect(session.received.map((message) => message.body)).toEqual(['hello', 'receipt', 'events']);
    await job.remove();
  });

  it('uploads the log of a job that goes on, and sends only the rest with the end', async () => {
    const { farEnd, start } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await start();
    job.print('first\n');
    await expect.poll(() => farEnd.log('job').lines, soon).toBe(1);
    job.print('second\n');
    await expect.poll(() => farEnd.log('job').lines, soon).toBe(2);
    const end = await job.end();
    const ended = await session.next('ended');
    expect(digestOf(wholeLog(farEnd, ended))).toBe(end.log.digest);
    expect(farEnd.uploads).toBe(1);
  });

  it('uploads a long log before it states the end', async () => {
    const { farEnd, start } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await start();
    job.print(Buffer.alloc(20 * INLINE_LOG_BYTES, 'a line\n'));
    const end = await job.end();
    const ended = await session.next('ended');
    const inline = ended.tail!.reduce((sum, chunk) => sum + chunk.length!, 0);
    expect(inline).toBeLessThanOrEqual(INLINE_LOG_BYTES);
    expect(digestOf(wholeLog(farEnd, ended))).toBe(end.log.digest);
  });

  it('keeps to the size of a message when plan and result are large', async () => {
    const { farEnd, start } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await start();
    job.plan = Buffer.alloc(200_000, 'p');
    job.print(Buffer.alloc(60_000, 'a line\n'));
    const end = await job.end();
    const ended = await session.next('ended');
    expect(ended.plan!.length).toBe(200_000);
    expect(digestOf(wholeLog(farEnd, ended))).toBe(end.log.digest);
    expect(farEnd.uploads).toBe(1);
  });

  it('says everything again after a cut, until it is acknowledged', async () => {
    const { farEnd, start, released, positionsAre } = await startReporting(closing);
    let session = await farEnd.session();
    const job = await start();
    job.print('one\n');
    await expect.poll(() => farEnd.log('job').lines, soon).toBe(1);
    positionsAre(() => [
      {
        jobId: 'job',
        known: true,
        nextSequence: 1,
        logOffset: farEnd.log('job').committed.length,
      },
    ]);
    farEnd.cut();
    job.print('two\n');
    const end = await job.end();
    session = await farEnd.session(1);
    let ended = await session.next('ended');
    expect(session.all('receipt')).toHaveLength(1);
    expect(eventsOf(session).map((event) => event.sequence)).toEqual([1, 2]);
    expect(digestOf(wholeLog(farEnd, ended))).toBe(end.log.digest);
    session.send({ acknowledged: { jobId: 'job', receipt: true } });
    await expect.poll(() => session.isOver, soon).toBe(false);
    await delay(30);
    farEnd.cut();
    session = await farEnd.session(2);
    ended = await session.next('ended');
    expect(session.all('receipt')).toEqual([]);
    expect(released).toEqual([]);
    session.send({ acknowledged: { jobId: 'job', ended: true } });
    await expect.poll(() => released, soon).toEqual(['job']);
  });

  it('releases a job whose end was committed before the cut', async () => {
    const { farEnd, start, released, positionsAre } = await startReporting(closing);
    await farEnd.session();
    const job = await start();
    await job.end();
    positionsAre(() => [{ jobId: 'job', known: true, ended: true, nextSequence: 3, logOffset: 0 }]);
    farEnd.cut();
    const session = await farEnd.session(1);
    await expect.poll(() => released, soon).toEqual(['job']);
    expect(session.all('ended')).toEqual([]);
  });

  it('keeps a job that the control plane does not know, and says nothing of it', async () => {
    const { farEnd, start, released, positionsAre } = await startReporting(closing);
    await farEnd.session();
    const job = await start();
    positionsAre(() => [{ jobId: 'job', known: false }]);
    farEnd.cut();
    const session = await farEnd.session(1);
    job.print('more\n');
    await job.end();
    await delay(100);
    expect(session.received.map((message) => message.body)).toEqual(['hello']);
    expect(released).toEqual([]);
    positionsAre(() => [{ jobId: 'job', known: true, nextSequence: 0, logOffset: 0 }]);
    farEnd.cut();
    await (await farEnd.session(2)).next('ended');
  });

  it('repeats what was said when the job is delivered again', async () => {
    const { farEnd, start, reporter } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await start();
    await job.end();
    await session.next('ended');
    session.send({ acknowledged: { jobId: 'job', receipt: true, nextSequence: 3 } });
    await delay(30);
    reporter.repeat('job');
    await expect.poll(() => session.all('receipt').length, soon).toBe(2);
    await expect.poll(() => session.all('ended').length, soon).toBe(2);
  });

  it('states a refusal until it is acknowledged', async () => {
    const { farEnd, reporter, done } = await startReporting(closing);
    await farEnd.session();
    reporter.repeat('refused');
    await (await farEnd.session()).next('receipt');
    farEnd.cut();
    const session = await farEnd.session(1);
    await session.next('receipt');
    session.send({ acknowledged: { jobId: 'refused', receipt: true } });
    await expect.poll(() => done, soon).toEqual(['refused']);
    farEnd.cut();
    const last = await farEnd.session(2);
    await delay(50);
    expect(last.all('receipt')).toEqual([]);
  });

  it('sends the newest progress, not every one', async () => {
    const { farEnd, start } = await startReporting(closing);
    const session = await farEnd.session();
    const job = await start();
    for (let percent = 0; percent <= 100; percent++) {
      job.makeProgress({ phase: 'scan', percent, text: `${percent} of 100` });
    }
    const last = await session.next('progress', (progress) => progress.percent === 100);
    expect(last).toMatchObject({ jobId: 'job', phase: 'scan', text: '100 of 100' });
    expect(session.all('progress').length).toBeLessThan(5);
    job.makeProgress({ phase: 'wait', percent: null, text: '' });
    const unknown = await session.next('progress', (progress) => progress.phase === 'wait');
    expect(unknown._percent).toBeUndefined();
  });

  it('opens an upload again when the control plane breaks one off', async () => {
    let uploads = 0;
    const { farEnd, start } = await startReporting(closing, {
      onUpload: (call) => {
        if (++uploads === 1) {
          call.emit('error', Object.assign(new Error(), { code: 8, details: 'busy' }));
        } else {
          farEnd.store(call);
        }
      },
    });
    await farEnd.session();
    const job = await start();
    job.print('a line\n');
    await expect.poll(() => farEnd.log('job').lines, { timeout: 30_000 }).toBe(1);
    expect(uploads).toBe(2);
  });

  it('uploads many jobs at once, more than one connection has streams for', async () => {
    const { farEnd, start } = await startReporting(closing);
    const session = await farEnd.session();
    const jobs = await Promise.all(Array.from({ length: 40 }, (_, index) => start(`job ${index}`)));
    for (const job of jobs) job.print(Buffer.alloc(100_000, 'a line\n'));
    await delay(60);
    const ends = await Promise.all(jobs.map((job) => job.end()));
    for (const [index, end] of ends.entries()) {
      const ended = await session.next('ended', (message) => message.jobId === `job ${index}`);
      expect(digestOf(wholeLog(farEnd, ended))).toBe(end.log.digest);
      session.send({ acknowledged: { jobId: `job ${index}`, ended: true } });
    }
  });
});
