import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SpoolWriter } from '../../agent/jobs/spool-writer.ts';
import type { LogSummary } from '../../agent/jobs/spool-writer.ts';
import { JobLog } from '../../agent/runner/job-log.ts';
import { encodeRecord, RecordDecoder } from '../../proto/spool/record.ts';
import type { Gap } from '../../proto/spool/record.ts';
import { createChance, mutate, NASTY_TEXTS } from './mutation.ts';

const MIB = 1024 * 1024;
const CAP = 8 * MIB;
const LONGEST = (process.env['INTERVENE_TEST_ALL'] === '1' ? 10 : 1) * 1024 * MIB;
const MEMORY_RISE_MAX = 256 * MIB;
const RUNS = 150;
const chance = createChance();

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'ivls-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A stream of one channel: `total` bytes of `period` over and over, in writes of these lengths in turn. */
interface Stream {
  period: Buffer;
  total: number;
  writes: readonly number[];
}

const periodic = (text: string | Buffer, total: number, writes: readonly number[]): Stream => ({
  period: Buffer.from(text),
  total,
  writes,
});
const hostileRecord = Buffer.concat([
  encodeRecord('gap', 1, Buffer.from('{"missingBytes":1e9,"missingLines":1e9}')),
  encodeRecord('note', 2, Buffer.from('This job has ended.\n')),
]);
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

const streams: Record<string, Stream> = {
  'gibibytes of lines': periodic(`${'all work and no play '.repeat(10)}\n`, LONGEST, [MIB]),
  'one line of a gibibyte': periodic('x', 1024 * MIB, [MIB]),
  'line ends alone': periodic('\n', 10 * MIB, [65_536]),
  'NUL alone': periodic('\0', 32 * MIB, [65_536]),
  'every byte there is': periodic(everyByte, 16 * MIB, [65_537]),
  'invalid UTF-8': periodic(Buffer.from('c3c328fff0288cbc', 'hex'), 4 * MIB, [4_093]),
  'code points split between writes': periodic('é日😀\u0301', 64 * 1024, [1, 2, 3]),
  'records inside of records': periodic(hostileRecord, 16 * MIB, [hostileRecord.length, 7]),
  'writes of a byte': periodic('ab\n', 64 * 1024, [1]),
  'writes of nothing between': periodic('ab\n', MIB, [0, 5_000, 0]),
  'writes just over a record': periodic('0123456789\r\n', 16 * MIB, [65_536, 65_537, 1]),
  'sequences without an end': periodic('\x1b]0;\x1b[', 16 * MIB, [65_536]),
};

/** The bytes of a stream from `offset` on, without holding the stream. */
function* bytesOf({ period, total, writes }: Stream): Generator<Buffer> {
  const longest = Math.max(...writes);
  const block = Buffer.alloc(Math.ceil(longest / period.length + 1) * period.length, period);
  let at = 0;
  for (let write = 0; at < total; write++) {
    const length = Math.min(writes[write % writes.length]!, total - at);
    const start = at % period.length;
    yield block.subarray(start, start + length);
    at += length;
  }
}

function expectPart(kept: Buffer, { period }: Stream, offset: number, what: string): void {
  const shift = offset % period.length;
  const turned = Buffer.concat([period.subarray(shift), period.subarray(0, shift)]);
  expect(kept.equals(Buffer.alloc(kept.length, turned)), what).toBe(true);
}

const linesIn = (bytes: Uint8Array) => bytes.reduce((sum, byte) => sum + (byte === 10 ? 1 : 0), 0);

/** Lines of the whole stream, counted from its period. */
function linesOf({ period, total }: Stream): number {
  const rest = period.subarray(0, total % period.length);
  return Math.floor(total / period.length) * linesIn(period) + linesIn(rest);
}

interface Kept {
  head: Buffer;
  tail: Buffer;
  gap: Gap | null;
}

async function readLog(summary: LogSummary): Promise<Kept> {
  const bytes = await readFile(path.join(directory, 'spool'));
  expect(summary.bytes).toBe(bytes.length);
  expect(summary.digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  const decoder = new RecordDecoder();
  const parts: { head: Buffer[]; tail: Buffer[] } = { head: [], tail: [] };
  let gap: Gap | null = null;
  // In pieces that fit no record.
  for (let at = 0; at < bytes.length; at += 10_007) {
    for (const { channel, payload } of decoder.push(bytes.subarray(at, at + 10_007))) {
      if (channel === 'gap') {
        expect(gap).toBeNull();
        gap = JSON.parse(payload.toString()) as Gap;
      } else if (channel === 'out') parts[gap === null ? 'head' : 'tail'].push(payload);
    }
  }
  expect(decoder.pendingBytes).toBe(0);
  return { head: Buffer.concat(parts.head), tail: Buffer.concat(parts.tail), gap };
}

/** As a command's output goes: who prints waits while there is no room. */
async function write(writes: Iterable<Buffer>, capBytes: number): Promise<LogSummary> {
  let now = 1_700_000_000_000_000;
  const spool = SpoolWriter.open({
    directory,
    capBytes,
    nowUs: () => now++,
    onGrew: () => undefined,
  });
  const output = new JobLog(spool, []).openOutput();
  for (const bytes of writes) {
    output.write('out', bytes);
    await output.room();
  }
  output.end();
  return spool.finish();
}

describe(`logs of any content (seed ${chance.seed})`, () => {
  it.each(Object.entries(streams))('keep %s as it was, but for one gap', async (_, stream) => {
    const before = process.memoryUsage().rss;
    const summary = await write(bytesOf(stream), CAP);
    expect(process.memoryUsage().rss - before).toBeLessThan(MEMORY_RISE_MAX);
    expect(summary.bytes).toBeLessThanOrEqual(CAP + 1024);
    const { head, tail, gap } = await readLog(summary);
    const missing = gap ?? { missingBytes: 0, missingLines: 0 };
    expect(head.length + missing.missingBytes + tail.length).toBe(stream.total);
    expect(summary.lines + missing.missingLines).toBe(linesOf(stream));
    expect(gap !== null).toBe(stream.total > CAP);
    expectPart(head, stream, 0, 'the beginning');
    expectPart(tail, stream, stream.total - tail.length, 'the end');
  });

  it(`of ${RUNS} mutated outputs keep what they can, and say what is missing`, async () => {
    const pieces = [...NASTY_TEXTS.map((text) => Buffer.from(text)), hostileRecord, everyByte];
    for (let run = 0; run < RUNS; run++) {
      const whole = Buffer.concat(
        Array.from({ length: chance.below(200) }, () =>
          mutate(chance, chance.pick(pieces), pieces),
        ),
      );
      const writes: Buffer[] = [];
      for (let at = 0; at < whole.length;) {
        const length = 1 + chance.below(chance.pick([3, 500, 9_000]));
        writes.push(whole.subarray(at, at + length));
        at += length;
      }
      const why = `INTERVENE_FUZZ_SEED=${chance.seed}, run ${run}`;
      const summary = await write(writes, 4_096 + chance.below(100_000));
      const { head, tail, gap } = await readLog(summary);
      const missing = gap?.missingBytes ?? 0;
      expect(head.length + missing + tail.length, why).toBe(whole.length);
      expect(head.equals(whole.subarray(0, head.length)), why).toBe(true);
      expect(tail.equals(whole.subarray(whole.length - tail.length)), why).toBe(true);
      expect(summary.lines + (gap?.missingLines ?? 0), why).toBe(linesIn(whole));
      await rm(path.join(directory, 'spool'));
    }
  });
});
