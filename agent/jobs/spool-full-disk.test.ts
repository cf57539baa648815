import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RecordDecoder, type Gap } from '../../proto/spool/record.ts';
import { writeReserve } from './journal-writer.ts';
import { SpoolWriter } from './spool-writer.ts';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ivf-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', directory]);
});

afterEach(() => {
  execFileSync('umount', [directory]);
  rmSync(directory, { recursive: true, force: true });
});

function open(capBytes: number): SpoolWriter {
  let now = 0;
  return SpoolWriter.open({ directory, capBytes, nowUs: () => now++, onGrew: () => undefined });
}

const line = (number: number) => Buffer.from(`${String(number).padStart(98, '.')}\n`);

interface Kept {
  lines: number[];
  gaps: Gap[];
  digest: string;
}

function read(): Kept {
  const bytes = readFileSync(join(directory, 'spool'));
  const kept: Kept = { lines: [], gaps: [], digest: '' };
  for (const record of new RecordDecoder().push(bytes)) {
    if (record.channel === 'out') kept.lines.push(Number(/\d+/.exec(String(record.payload))![0]));
    if (record.channel === 'gap') kept.gaps.push(JSON.parse(String(record.payload)) as Gap);
  }
  kept.digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  return kept;
}

/** Every line is either in the log, once and in order, or counted by a gap. */
function checkComplete(kept: Kept, written: number): void {
  expect(kept.lines).toEqual(kept.lines.toSorted((a, b) => a - b));
  expect(new Set(kept.lines).size).toBe(kept.lines.length);
  const missing = kept.gaps.reduce((sum, gap) => sum + gap.missingLines, 0);
  expect(kept.lines.length + missing).toBe(written);
  const bytes = kept.gaps.reduce((sum, gap) => sum + gap.missingBytes, 0);
  expect(bytes).toBe(missing * line(0).length);
}

test('what the disk has no room for is counted, and the program is not held up', async () => {
  writeReserve(directory);
  const spool = open(64 * 1024 * 1024);
  for (let number = 0; number < 20_000; number++) {
    spool.append('out', line(number));
    await spool.room();
  }
  const summary = await spool.finish();
  const kept = read();
  checkComplete(kept, 20_000);
  expect(kept.lines.length).toBeGreaterThan(3_000);
  expect(summary.digest).toBe(kept.digest);
  expect(summary.gaps).toMatchObject(kept.gaps);
  expect(summary.lines).toBe(kept.lines.length);
});

test('when there is room again the log goes on, after a gap', async () => {
  const spool = open(64 * 1024 * 1024);
  writeFileSync(join(directory, 'other'), Buffer.alloc(400 * 1024));
  for (let number = 0; number < 2_000; number++) {
    spool.append('out', line(number));
    await spool.drain();
    if (number === 1_500) rmSync(join(directory, 'other'));
  }
  const summary = await spool.finish();
  const kept = read();
  checkComplete(kept, 2_000);
  expect(kept.lines.at(-1)).toBe(1_999);
  expect(kept.gaps).toHaveLength(1);
  expect(summary.digest).toBe(kept.digest);
});

test('a full disk while only the end of the log is kept is counted too', async () => {
  const spool = open(200 * 1024);
  let isFull = false;
  for (let number = 0; number < 6_000; number++) {
    spool.append('out', line(number));
    await spool.drain();
    if (number % 500 === 250) {
      if (isFull) rmSync(join(directory, 'other'));
      else fill();
      isFull = !isFull;
    }
  }
  rmSync(join(directory, 'other'), { force: true });
  const summary = await spool.finish();
  const kept = read();
  checkComplete(kept, 6_000);
  expect(kept.lines.at(-1)).toBe(5_999);
  expect(kept.gaps.length).toBeGreaterThan(0);
  expect(summary.gaps).toMatchObject(kept.gaps);
});

test('a disk that comes and goes makes a bounded number of gaps', async () => {
  const spool = open(64 * 1024 * 1024);
  for (let number = 0; number < 400; number++) {
    if (number % 2 === 0) fill();
    spool.append('out', Buffer.concat(Array.from({ length: 60 }, () => line(number))));
    await spool.drain();
    rmSync(join(directory, 'other'), { force: true });
  }
  const summary = await spool.finish();
  expect(summary.gaps.length).toBeLessThanOrEqual(33);
  const missing = summary.gaps.reduce((sum, gap) => sum + gap.missingLines, 0);
  expect(summary.lines + missing).toBe(400 * 60);
});

function fill(): void {
  try {
    writeFileSync(join(directory, 'other'), Buffer.alloc(600 * 1024));
  } catch {
    // The write stops where the space ends.
  }
}
