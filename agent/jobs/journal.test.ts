import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { decodeJournal, JOURNAL_HEADER, JournalDamagedError } from './journal-frames.ts';
import { JournalReader } from './journal-reader.ts';
import type { JournalRecord } from './journal-record.ts';
import { JournalUnwritableError, JournalWriter, writeReserve } from './journal-writer.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const records: JournalRecord[] = [
  { type: 'received', at: 1, job: '018f0000-0000-7000-8000-000000000001', version: 1 },
  { type: 'started', at: 2 },
  { type: 'step_started', at: 3, step: 'repair', description: 'Écrire “tout”' },
  { type: 'step_saved', at: 4, step: 'repair', backups: [{ path: 'a', bytes: 5, digest }] },
  { type: 'step_ended', at: 5, step: 'repair', ok: true, detail: '' },
];

let directory: string;
const path = () => join(directory, 'journal');

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'ivj-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function write(wanted: readonly JournalRecord[]): void {
  const journal = JournalWriter.open(directory);
  for (const record of wanted) journal.append(record);
  journal.close();
}

function read(): JournalRecord[] {
  const reader = new JournalReader(directory);
  reader.refresh();
  return reader.records;
}

test('what was appended is read, in order', () => {
  write(records);
  expect(read()).toEqual(records);
});

test('a journal is read on while it grows', () => {
  const journal = JournalWriter.open(directory);
  const reader = new JournalReader(directory);
  for (const [index, record] of records.entries()) {
    journal.append(record);
    reader.refresh();
    expect(reader.records).toHaveLength(index + 1);
  }
  expect(reader.records).toEqual(records);
  journal.close();
});

test('a journal that does not exist has no records', () => {
  expect(read()).toEqual([]);
});

test('a last record torn at any byte is dropped, and the next one is written in its place', () => {
  write(records.slice(0, -1));
  const whole = statSync(path()).size;
  write(records.slice(-1));
  const bytes = readFileSync(path());
  for (let length = whole; length < bytes.length; length++) {
    writeFileSync(path(), bytes.subarray(0, length));
    expect(read()).toEqual(records.slice(0, -1));
    const journal = JournalWriter.open(directory);
    expect(journal.records).toBe(records.length - 1);
    journal.append(records.at(-1)!);
    journal.close();
    expect(readFileSync(path()).equals(bytes)).toBe(true);
  }
});

test('a header torn at any byte is a journal without records that can be written', () => {
  for (let length = 0; length < JOURNAL_HEADER.length; length++) {
    writeFileSync(path(), JOURNAL_HEADER.subarray(0, length));
    expect(read()).toEqual([]);
    write(records);
    expect(read()).toEqual(records);
    rmSync(path());
  }
});

test('one flipped bit anywhere is reported as damage, never read as something else', () => {
  write(records);
  const bytes = readFileSync(path());
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(path(), damaged);
    const reader = new JournalReader(directory);
    expect(() => reader.refresh(), `bit ${bit}`).toThrow(JournalDamagedError);
    expect(records.slice(0, reader.records.length)).toEqual(reader.records);
    expect(() => JournalWriter.open(directory)).toThrow(JournalDamagedError);
    expect(readFileSync(path()).equals(damaged)).toBe(true);
  }
});

test('a record of no known kind is damage, also when its checksum holds', () => {
  const journal = JournalWriter.open(directory);
  journal.append({ type: 'started', at: 1, extra: true } as unknown as JournalRecord);
  journal.close();
  expect(() => read()).toThrow(JournalDamagedError);
});

test('a journal of a later version is not read', () => {
  write(records);
  const bytes = readFileSync(path());
  bytes[JOURNAL_HEADER.length - 1] = 2;
  expect(() => decodeJournal(bytes)).toThrow(JournalDamagedError);
});

test('nothing is appended behind the end of a job', () => {
  const log = { bytes: 0, lines: 0, digest, gaps: [] };
  const ended: JournalRecord = {
    type: 'ended',
    at: 9,
    outcome: 'succeeded',
    reason: null,
    exitStatus: 0,
    result: null,
    log,
  };
  const journal = JournalWriter.open(directory);
  journal.append(ended);
  expect(() => journal.append(records[1]!)).toThrow(JournalUnwritableError);
  journal.close();
  const again = JournalWriter.open(directory);
  expect(() => again.append(records[1]!)).toThrow(JournalUnwritableError);
  again.close();
  expect(read()).toEqual([ended]);
});

describe('on a full disk', () => {
  const fill = () => {
    try {
      writeFileSync(join(directory, 'fill'), Buffer.alloc(1024 * 1024));
    } catch {
      // The write stops where the space ends.
    }
  };

  beforeEach(() => {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', directory]);
  });

  afterEach(() => {
    execFileSync('umount', [directory]);
  });

  test('the space kept back takes the last records', () => {
    writeReserve(directory);
    const journal = JournalWriter.open(directory);
    journal.append(records[0]!);
    fill();
    const long = 'x'.repeat(6000);
    for (let step = 0; step < 8; step++) {
      journal.append({ type: 'step_ended', at: step, step: 's', ok: true, detail: long });
    }
    journal.close();
    expect(read()).toHaveLength(9);
  });

  test('a record that does not fit is refused and leaves the journal readable', () => {
    const journal = JournalWriter.open(directory);
    journal.append(records[0]!);
    fill();
    const detail = 'x'.repeat(200_000);
    expect(() =>
      journal.append({ type: 'step_ended', at: 1, step: 's', ok: true, detail }),
    ).toThrow(JournalUnwritableError);
    truncateSync(join(directory, 'fill'), 0);
    journal.append(records[1]!);
    journal.close();
    expect(read()).toEqual(records.slice(0, 2));
  });
});
