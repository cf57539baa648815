import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RECORD_HEADER_BYTES, RecordDecoder, type Gap } from '../../proto/spool/record.ts';
import { readSpool } from './spool-reader.ts';
import { SpoolWriter, type LogSummary } from './spool-writer.ts';

let directory: string;
let clock = 1_700_000_000_000_000;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ivs-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function open(capBytes: number, folder = directory): SpoolWriter {
  return SpoolWriter.open({
    directory: folder,
    capBytes,
    nowUs: () => clock++,
    onGrew: () => undefined,
  });
}

interface Read {
  /** Output before the first gap, and after the last one. */
  head: Buffer;
  tail: Buffer;
  gaps: Gap[];
  offsets: number[];
  bytes: Buffer;
}

function read(folder = directory): Read {
  const bytes = readFileSync(join(folder, 'spool'));
  const found: Read = {
    head: Buffer.alloc(0),
    tail: Buffer.alloc(0),
    gaps: [],
    offsets: [],
    bytes,
  };
  const decoder = new RecordDecoder();
  let offset = 0;
  for (const record of decoder.push(bytes)) {
    if (record.channel === 'gap') {
      found.gaps.push(JSON.parse(record.payload.toString()) as Gap);
      found.offsets.push(offset);
      found.tail = Buffer.alloc(0);
    } else if (record.channel !== 'note') {
      if (found.gaps.length === 0) found.head = Buffer.concat([found.head, record.payload]);
      else found.tail = Buffer.concat([found.tail, record.payload]);
    }
    offset += RECORD_HEADER_BYTES + record.payload.length;
  }
  expect(decoder.pendingBytes).toBe(0);
  return found;
}

function lines(bytes: Buffer): number {
  return bytes.filter((byte) => byte === 10).length;
}

/** Every figure of the summary, computed again from the file and from what was put in. */
function check(summary: LogSummary, input: Buffer, folder = directory): Read {
  const found = read(folder);
  expect(summary.bytes).toBe(found.bytes.length);
  expect(summary.digest).toBe(`sha256:${createHash('sha256').update(found.bytes).digest('hex')}`);
  expect(summary.gaps).toEqual(
    found.gaps.map((gap, index) => ({ offset: found.offsets[index], ...gap })),
  );
  const missing = {
    bytes: found.gaps.reduce((sum, gap) => sum + gap.missingBytes, 0),
    lines: found.gaps.reduce((sum, gap) => sum + gap.missingLines, 0),
  };
  expect(summary.lines + missing.lines).toBe(lines(input));
  expect(found.head.equals(input.subarray(0, found.head.length))).toBe(true);
  expect(found.gaps.length).toBeLessThanOrEqual(1);
  expect(found.head.length + found.tail.length + missing.bytes).toBe(input.length);
  expect(found.tail.equals(input.subarray(input.length - found.tail.length))).toBe(true);
  return found;
}

test('output under the cap is kept whole, whatever bytes it has', async () => {
  const spool = open(1024 * 1024);
  const pieces = [Buffer.from('a\n'), Buffer.from([0, 0xff, 0xfe, 10]), Buffer.alloc(200_000, 7)];
  for (const [index, piece] of pieces.entries()) spool.append(index % 2 ? 'err' : 'out', piece);
  const found = check(await spool.finish(), Buffer.concat(pieces));
  expect(found.gaps).toEqual([]);
});

const capBytes = fc.integer({ min: 2_048, max: 20_000 });
/** Text with some line ends, of many lengths; half of the runs go over the cap. */
const piece = fc
  .tuple(fc.integer({ min: 1, max: 1_500 }), fc.nat(255))
  .map(([length, seed]) =>
    Buffer.from(
      Array.from({ length }, (_, at) => (at % (seed + 2) === 1 ? 10 : (at + seed) & 255)),
    ),
  );
const writes = fc.array(fc.tuple(fc.constantFrom('out', 'err'), piece, fc.boolean()), {
  maxLength: 80,
  size: 'max',
});

test('over the cap head and tail are kept and the gap says exactly what is missing', async () => {
  let overCap = 0;
  await fc.assert(
    fc.asyncProperty(capBytes, writes, async (cap, all) => {
      const folder = mkdtempSync(join(directory, 'p-'));
      const spool = open(cap, folder);
      for (const [channel, bytes, wait] of all) {
        spool.append(channel as 'out' | 'err', bytes);
        if (wait) await spool.drain();
      }
      const summary = await spool.finish();
      const input = Buffer.concat(all.map(([, bytes]) => bytes));
      const found = check(summary, input, folder);
      const encoded = input.length + all.length * RECORD_HEADER_BYTES;
      expect(found.gaps.length).toBeLessThanOrEqual(encoded < cap / 2 - 200 ? 0 : 1);
      const isOver = found.gaps.length > 0;
      if (isOver) overCap++;
      // A quarter of the cap, less one record that did not fit any more, is the least that is kept.
      const kept = isOver ? found.bytes.length - found.offsets[0]! : Infinity;
      expect(kept).toBeGreaterThan(cap / 4 - cap / 8 - 200);
      expect(summary.bytes).toBeLessThanOrEqual(cap + 256);
      expect(readdirSync(folder)).toEqual(['spool']);
    }),
    { numRuns: 100 },
  );
  expect(overCap).toBeGreaterThan(20);
});

test('the log of a writer that died is finished with exact counts', async () => {
  await fc.assert(
    fc.asyncProperty(capBytes, writes, fc.nat(), async (cap, all, where) => {
      const folder = mkdtempSync(join(directory, 'd-'));
      const spool = open(cap, folder);
      const kept: Buffer[] = [];
      for (const [channel, bytes] of all.slice(0, where % (all.length + 1))) {
        spool.append(channel as 'out' | 'err', bytes);
        kept.push(bytes);
      }
      await spool.drain();
      // The writer is dropped here, as a kill drops it.
      const summary = await open(cap, folder).finish();
      expect(check(summary, Buffer.concat(kept), folder).bytes.length).toBe(summary.bytes);
    }),
    { numRuns: 100 },
  );
});

test('a last record that was torn at any byte is cut off, the ones before it stay', async () => {
  const spool = open(1024 * 1024);
  spool.append('out', Buffer.from('first\n'));
  await spool.drain();
  const whole = spool.length;
  spool.append('out', Buffer.from('second line\n'));
  await spool.drain();
  const bytes = readFileSync(join(directory, 'spool'));
  for (let length = whole; length < bytes.length; length++) {
    const folder = join(directory, `torn-${length}`);
    mkdirSync(folder);
    copyFileSync(join(directory, 'spool'), join(folder, 'spool'));
    truncateSync(join(folder, 'spool'), length);
    const found = check(await open(1024 * 1024, folder).finish(), Buffer.from('first\n'), folder);
    expect(found.bytes.length).toBe(whole);
  }
});

test('finishing is repeated from the start when it was interrupted', async () => {
  const input = Buffer.from(`${'0123456789abcde\n'.repeat(2_000)}`);
  const spool = open(8_192);
  for (let at = 0; at < input.length; at += 64) spool.append('out', input.subarray(at, at + 64));
  await spool.drain();
  const interrupted = join(directory, 'interrupted');
  mkdirSync(interrupted);
  for (const name of ['spool', 'tail.a', 'tail.b']) {
    copyFileSync(join(directory, name), join(interrupted, name));
  }
  await open(8_192).finish();
  // The join had written part of the tail when it was killed; the ring was still there.
  const joined = statSync(join(directory, 'spool')).size;
  for (const part of [joined, joined - 1, joined - 700]) {
    const folder = join(directory, `again-${part}`);
    mkdirSync(folder);
    for (const name of ['tail.a', 'tail.b']) {
      copyFileSync(join(interrupted, name), join(folder, name));
    }
    copyFileSync(join(directory, 'spool'), join(folder, 'spool'));
    truncateSync(join(folder, 'spool'), part);
    const summary = await open(8_192, folder).finish();
    check(summary, input, folder);
    expect(read(folder).bytes.equals(read().bytes)).toBe(true);
    expect(existsSync(join(folder, 'tail.a'))).toBe(false);
  }
});

test('bytes that are no records end what is kept, and are counted', async () => {
  const spool = open(1024 * 1024);
  spool.append('out', Buffer.from('first\n'));
  await spool.drain();
  const good = spool.length;
  spool.append('out', Buffer.from('second\n'));
  await spool.drain();
  const bytes = readFileSync(join(directory, 'spool'));
  bytes[good + 3] = 0xff;
  writeFileSync(join(directory, 'spool'), bytes);
  const summary = await open(1024 * 1024).finish();
  expect(summary.gaps).toEqual([
    { offset: good, missingBytes: bytes.length - good, missingLines: 0 },
  ]);
  expect(read().head.toString()).toBe('first\n');
});

test('producers are told to wait while the disk is behind', async () => {
  const spool = open(64 * 1024 * 1024);
  expect(spool.append('out', Buffer.from('small'))).toBe(true);
  expect(spool.room()).toBe(null);
  // More than is written directly; what comes meanwhile has to queue.
  expect(spool.append('out', Buffer.alloc(100_000, 1))).toBe(false);
  for (let piece = 0; piece < 8; piece++) spool.append('out', Buffer.alloc(60_000, 1));
  const room = spool.room();
  expect(room).not.toBe(null);
  await room;
  expect(spool.room()).toBe(null);
  const { bytes } = await spool.finish();
  expect(bytes).toBe(5 + 100_000 + 8 * 60_000 + 11 * RECORD_HEADER_BYTES);
});

test('memory that may be used again was written before', async () => {
  const spool = open(64 * 1024);
  const input: Buffer[] = [];
  const memory = Buffer.alloc(1_000);
  for (let piece = 0; piece < 200; piece++) {
    const bytes = piece % 3 === 0 ? Buffer.alloc(3_000, piece) : memory.fill(piece);
    input.push(Buffer.from(bytes));
    // The pieces that are kept must not change, so only those that are not are written over.
    if (!spool.append('out', bytes) && bytes === memory) await spool.drain();
    else memory.fill(255);
  }
  const found = check(await spool.finish(), Buffer.concat(input));
  expect(found.gaps).toHaveLength(1);
});

test('readers get whole records, never more than they asked for but one record', async () => {
  const spool = open(1024 * 1024);
  for (let line = 0; line < 50; line++) spool.append('out', Buffer.from(`line ${line}\n`));
  spool.append('out', Buffer.alloc(30_000, 65));
  await spool.drain();
  const all = readFileSync(join(directory, 'spool'));
  for (const most of [1, 20, 100, 10_000, 1_000_000]) {
    const chunks: Buffer[] = [];
    for (let offset = 0; offset < all.length;) {
      const chunk = readSpool(directory, offset, spool.length, most);
      expect([...new RecordDecoder().push(chunk)].length).toBeGreaterThan(0);
      const decoder = new RecordDecoder();
      const records = [...decoder.push(chunk)].length;
      expect(decoder.pendingBytes).toBe(0);
      expect(chunk.length).toBeLessThanOrEqual(records > 1 ? most : Infinity);
      chunks.push(chunk);
      offset += chunk.length;
    }
    expect(Buffer.concat(chunks).equals(all)).toBe(true);
    expect(readSpool(directory, all.length, spool.length, most)).toHaveLength(0);
  }
  await spool.finish();
});
