import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { countLines, RecordDecoder } from '../../proto/spool/record.ts';
import { LogReader } from './log-reader.ts';
import { TestJob } from './testing/test-job.ts';

const jobs: TestJob[] = [];
afterEach(async () => {
  for (const job of jobs.splice(0)) await job.remove();
});

async function jobThatPrints(outputs: readonly (string | Buffer)[]): Promise<TestJob> {
  const job = await TestJob.create('job');
  jobs.push(job);
  for (const output of outputs) job.print(output);
  await job.drain();
  return job;
}

async function wholeLog(job: TestJob): Promise<Buffer> {
  const reader = new LogReader(job);
  const pieces: Buffer[] = [];
  for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
    pieces.push(piece.bytes);
  }
  return Buffer.concat(pieces);
}

/** Lines that end in the first `length` bytes of an encoded log. */
function linesIn(log: Buffer, length: number): number {
  const decoder = new RecordDecoder();
  let lines = 0;
  for (const record of decoder.push(log.subarray(0, length))) lines += countLines(record);
  const rest = log.subarray(length - decoder.pendingBytes, length);
  if (rest.length > 13 && (rest[4] === 1 || rest[4] === 2)) {
    lines += rest.subarray(13).filter((byte) => byte === 10).length;
  }
  return lines;
}

const outputs = fc.array(
  fc.oneof(
    fc.string({ maxLength: 40 }).map((text) => `${text}\n`),
    fc.integer({ min: 1, max: 90_000 }).map((size) => Buffer.alloc(size, 'line\n')),
  ),
  { minLength: 1, maxLength: 12 },
);

describe('LogReader', () => {
  it('gives every byte once, in pieces of at most 64 KiB that know their lines', async () => {
    await fc.assert(
      fc.asyncProperty(outputs, async (printed) => {
        const job = await jobThatPrints(printed);
        const log = await wholeLog(job);
        expect(log.length).toBe(job.logLength);
        const reader = new LogReader(job);
        let offset = 0;
        for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
          expect(piece.offset).toBe(offset);
          expect(piece.bytes.length).toBeLessThanOrEqual(64 * 1024);
          expect(piece.firstLine).toBe(linesIn(log, offset));
          offset += piece.bytes.length;
          expect(piece.firstLine + piece.lines).toBe(linesIn(log, offset));
        }
        expect(offset).toBe(log.length);
      }),
      { numRuns: 30 },
    );
  });

  it('goes on from any offset, forwards and backwards, as if it had read on', async () => {
    await fc.assert(
      fc.asyncProperty(
        outputs,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 }),
        async (printed, places) => {
          const job = await jobThatPrints(printed);
          const log = await wholeLog(job);
          let reader = new LogReader(job);
          for (const [index, place] of places.entries()) {
            const offset = Math.floor(place * log.length);
            expect(await reader.seek(offset)).toBe(true);
            expect(reader.offset).toBe(offset);
            const piece = await reader.next(1 + Math.floor(place * 5000));
            const end = offset + (piece?.bytes.length ?? 0);
            expect(piece === null).toBe(offset === log.length);
            expect(piece?.firstLine ?? linesIn(log, offset)).toBe(linesIn(log, offset));
            expect(piece?.bytes ?? Buffer.alloc(0)).toEqual(log.subarray(offset, end));
            if (index % 2 === 1) reader = reader.fork();
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it('does not go where the log does not reach', async () => {
    const job = await jobThatPrints(['short\n']);
    const reader = new LogReader(job);
    expect(await reader.seek(job.logLength)).toBe(true);
    expect(await reader.next()).toBeNull();
    expect(await reader.seek(job.logLength + 1)).toBe(false);
  });

  it('sees what is printed later', async () => {
    const job = await jobThatPrints(['one\n']);
    const reader = new LogReader(job);
    await reader.next();
    expect(await reader.next()).toBeNull();
    job.print('two\n');
    await job.drain();
    expect(await reader.next()).toMatchObject({ firstLine: 1, lines: 1 });
  });

  it('goes back without reading everything again', async () => {
    const job = await jobThatPrints([Buffer.alloc(4 * 1024 * 1024, 'some line\n')]);
    const reader = new LogReader(job);
    await reader.seek(job.logLength);
    let read = 0;
    const counted = {
      readLog: async (offset: number, maxBytes: number) => {
        const bytes = await job.readLog(offset, maxBytes);
        read += bytes.length;
        return bytes;
      },
    };
    Object.assign(reader, { job: counted });
    await reader.seek(job.logLength - 20_000);
    expect(read).toBeLessThanOrEqual(2 * 512 * 1024);
  });
});
