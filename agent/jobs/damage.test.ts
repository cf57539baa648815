import {
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createJobFolder, writeReceived } from './job-folder.ts';
import { ended, JobsFixture, output, until } from './jobs-fixture.ts';
import type { JournalRecord } from './journal-record.ts';
import { JournalWriter } from './journal-writer.ts';

let fixture: JobsFixture;

beforeEach(async () => {
  fixture = await JobsFixture.create();
  mkdirSync(join(fixture.state, 'jobs'));
});

afterEach(async () => {
  await fixture.close();
});

/** A job folder as a dead runner leaves it. */
async function abandoned(records: JournalRecord[]): Promise<{ id: string; journal: string }> {
  const spec = fixture.command(['touch', join(fixture.state, 'executed')]);
  const directory = fixture.directory(spec.job);
  await createJobFolder(directory);
  await writeReceived(directory, spec);
  const journal = JournalWriter.open(directory);
  for (const record of records) journal.append(record);
  journal.close();
  return { id: spec.job, journal: join(directory, 'journal') };
}

async function endOf(id: string) {
  const jobs = fixture.agent();
  await jobs.load();
  const job = jobs.get(id)!;
  await jobs.close();
  expect(existsSync(join(fixture.state, 'executed'))).toBe(false);
  return job;
}

const started: JournalRecord = { type: 'started', at: 2 };
const step: JournalRecord = { type: 'step_started', at: 3, step: 'one', description: '' };

test('a job that was received and not started ends as not started', async () => {
  const { id } = await abandoned([]);
  const job = await endOf(id);
  expect(job.ended).toMatchObject({ outcome: 'interrupted', reason: 'not_started' });
});

test('a job that was started ends as interrupted, with its last step', async () => {
  const { id } = await abandoned([started, step]);
  const job = await endOf(id);
  expect(job.ended).toMatchObject({
    outcome: 'interrupted',
    reason: 'runner_died',
    result: { lastStep: 'one', undoOffered: false },
  });
  expect(job.records(0).map((record) => record.type)).toEqual([
    'received',
    'started',
    'step_started',
    'ended',
  ]);
});

test('the end that was written once is the end that is read for ever', async () => {
  const { id } = await abandoned([started]);
  const first = await endOf(id);
  const second = await endOf(id);
  expect(second.ended).toEqual(first.ended);
});

test('a started record torn at any byte was never acted on: the job was not started', async () => {
  const { id, journal } = await abandoned([]);
  const before = statSync(journal).size;
  const writer = JournalWriter.open(fixture.directory(id));
  writer.append(started);
  writer.close();
  const whole = readFileSync(journal);
  for (let length = before; length < whole.length; length += 5) {
    writeFileSync(journal, whole);
    truncateSync(journal, length);
    const job = await endOf(id);
    expect(job.ended).toMatchObject({ outcome: 'interrupted', reason: 'not_started' });
  }
});

test('one flipped bit makes the job damaged; what could be believed is kept', async () => {
  const { id, journal } = await abandoned([started, step]);
  const good = readFileSync(journal);
  for (let bit = 3; bit < good.length * 8; bit += 97) {
    const bytes = Buffer.from(good);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(journal, bytes);
    const job = await endOf(id);
    expect(job.ended).toMatchObject({ outcome: 'interrupted', reason: 'journal_damaged' });
    expect(readFileSync(`${journal}.damaged`).equals(bytes)).toBe(true);
    const again = await endOf(id);
    expect(again.ended).toEqual(job.ended);
  }
  expect(new Set(fixture.warnings)).toEqual(new Set(['the journal of a job cannot be read']));
});

test('an ended job whose journal was damaged later is not taken for a success', async () => {
  const jobs = fixture.agent();
  await jobs.load();
  const job = await jobs.start(fixture.command(['echo', 'hello']), {});
  await ended(job);
  await jobs.close();
  const journal = join(job.directory, 'journal');
  const bytes = readFileSync(journal);
  bytes[bytes.indexOf('succeeded')]! ^= 1;
  writeFileSync(journal, bytes);
  const next = await endOf(job.id);
  expect(next.ended).toMatchObject({ outcome: 'interrupted', reason: 'journal_damaged' });
  expect((await output(next)).toString()).toBe('hello\n');
});

test('a journal damaged under a running job lets it run, and is reported when it has ended', async () => {
  const jobs = fixture.agent();
  await jobs.load();
  const job = await jobs.start(fixture.shell('echo one; sleep 0.5; echo two'), {});
  await until(job, () => job.logLength > 0);
  const journal = join(job.directory, 'journal');
  const bytes = readFileSync(journal);
  bytes[20]! ^= 4;
  writeFileSync(journal, bytes);
  await jobs.close();
  const next = fixture.agent();
  await next.load();
  const again = next.get(job.id)!;
  expect(await ended(again)).toMatchObject({ outcome: 'interrupted', reason: 'journal_damaged' });
  expect((await output(again)).toString()).toBe('one\ntwo\n');
});

test('a folder without a journal is a job that was not started', async () => {
  const { id, journal } = await abandoned([]);
  truncateSync(journal, 0);
  const job = await endOf(id);
  expect(job.ended).toMatchObject({ outcome: 'interrupted', reason: 'not_started' });
  expect(job.records(0)[0]).toMatchObject({ type: 'received', job: id });
});

test('folders that are no jobs are left alone', async () => {
  mkdirSync(join(fixture.state, 'jobs', 'lost+found'));
  const jobs = fixture.agent();
  await jobs.load();
  expect(jobs.all()).toEqual([]);
  expect(existsSync(join(fixture.state, 'jobs', 'lost+found'))).toBe(true);
});
