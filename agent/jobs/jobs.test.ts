import { createHash } from 'node:crypto';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countLines } from '../../proto/spool/record.ts';
import { JobStartError } from './held-job.ts';
import type { Jobs } from './job.ts';
import { decodeLog, ended, JobsFixture, output, readWholeLog, until } from './jobs-fixture.ts';

let fixture: JobsFixture;
let jobs: Jobs;

beforeEach(async () => {
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
});

afterEach(async () => {
  await fixture.close();
});

test('a command runs, its output and exit status arrive, and the journal says so', async () => {
  const job = await jobs.start(fixture.shell('echo out; echo err >&2; exit 3'), {});
  expect(job.records(0).map((record) => record.type)).toEqual(['received', 'started']);
  const end = await ended(job);
  expect(end).toMatchObject({
    outcome: 'failed',
    reason: 'exit_status',
    exitStatus: 3,
    result: { exitStatus: 3, signal: null },
  });
  expect((await output(job)).toString()).toBe('out\n');
  expect((await output(job, 'err')).toString()).toBe('err\n');
  expect(job.records(2)).toEqual([end]);
});

test('the end names the digest, length and lines of the log', async () => {
  const job = await jobs.start(fixture.shell('seq 1 20000; printf tail'), {});
  const { log, outcome } = await ended(job);
  const bytes = await readWholeLog(job);
  expect(outcome).toBe('succeeded');
  expect(log.bytes).toBe(bytes.length);
  expect(log.digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  expect(log.lines).toBe(20_000);
  expect(decodeLog(bytes).reduce((sum, record) => sum + countLines(record), 0)).toBe(20_000);
  expect(job.logLength).toBe(bytes.length);
});

test('a program that is not there fails with status 127 and says which', async () => {
  const job = await jobs.start(fixture.command(['no-such-program']), {});
  expect(await ended(job)).toMatchObject({
    outcome: 'failed',
    reason: 'command_not_found',
    exitStatus: 127,
  });
  expect((await output(job, 'note')).toString()).toBe('no-such-program: not found\n');
});

test('a program that is not executable fails with status 126', async () => {
  const job = await jobs.start(fixture.command(['/etc/passwd']), {});
  expect(await ended(job)).toMatchObject({ reason: 'command_not_executable', exitStatus: 126 });
});

test('a signal becomes 128 and its number', async () => {
  const job = await jobs.start(fixture.shell('kill -KILL $$'), {});
  expect(await ended(job)).toMatchObject({
    outcome: 'failed',
    exitStatus: 137,
    result: { exitStatus: null, signal: 'SIGKILL' },
  });
});

test('a command runs in the folder that was asked for', async () => {
  const there = fixture.spec({ parameters: { argv: ['pwd'], directory: '/usr' } });
  const job = await jobs.start(there, {});
  await ended(job);
  expect((await output(job)).toString()).toBe('/usr\n');
});

test('a sealed input reaches the program and is masked wherever it is printed', async () => {
  const secret = 'correct horse\nbattery staple';
  const script = 'cat; printf "horse"; echo "correct horse"; echo correct; echo "x$(cat)y"';
  const job = await jobs.start(fixture.shell(script), { stdin: secret });
  await ended(job);
  const log = (await readWholeLog(job)).toString();
  expect(log).not.toContain('correct horse');
  expect(log).not.toContain('battery staple');
  expect((await output(job)).toString()).toBe('•••horse•••\ncorrect\nxy\n');
});

test('no secret is on disk while the job runs', async () => {
  const secret = 'unmistakable-secret-value';
  const job = await jobs.start(fixture.shell('cat > /dev/null; sleep 0.4'), { stdin: secret });
  await sleep(150);
  const names = readdirSync(fixture.state, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile());
  const contents = await Promise.all(
    files.map(({ parentPath, name }) => readFile(join(parentPath, name))),
  );
  expect(contents.length).toBeGreaterThan(3);
  expect(contents.filter((bytes) => bytes.includes(secret))).toEqual([]);
  await ended(job);
});

test('10 MB, NUL bytes, invalid UTF-8 and lines without an end pass unchanged', async () => {
  const bytes = Buffer.alloc(256 * 40_000);
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 31 + (at >> 8)) & 0xff;
  const path = join(fixture.state, '..', `bytes-${process.pid}`);
  await writeFile(path, bytes);
  try {
    const job = await jobs.start(fixture.command(['cat', path]), {});
    expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
    expect((await output(job)).equals(bytes)).toBe(true);
  } finally {
    await rm(path);
  }
});

test('a log over its cap keeps head and tail and counts the rest', async () => {
  const job = await jobs.start(fixture.shell('seq 1 100000', { spoolCapBytes: 64 * 1024 }), {});
  const { log } = await ended(job);
  expect(log.gaps).toHaveLength(1);
  const [gap] = log.gaps;
  expect(log.lines + gap!.missingLines).toBe(100_000);
  const text = (await output(job)).toString();
  expect(text.startsWith('1\n2\n')).toBe(true);
  expect(text.endsWith('99999\n100000\n')).toBe(true);
  expect((await output(job, 'note')).toString()).toContain('limit');
  expect(log.bytes).toBeLessThan(65 * 1024);
});

test('followers are told of output while the job runs', async () => {
  const job = await jobs.start(fixture.shell('echo one; sleep 0.3; echo two'), {});
  await until(job, () => job.logLength > 0);
  expect(job.ended).toBe(null);
  expect((await output(job)).toString()).toBe('one\n');
  await ended(job);
  expect((await output(job)).toString()).toBe('one\ntwo\n');
});

test('a job whose time is over ends as timed out', async () => {
  const job = await jobs.start(fixture.command(['sleep', '60'], { maxRuntimeSeconds: 1 }), {});
  expect(await ended(job)).toMatchObject({
    outcome: 'timed_out',
    reason: 'time_limit',
    exitStatus: 143,
  });
});

test('what stays in the background is ended with the job, and the log says so', async () => {
  const job = await jobs.start(
    fixture.shell('setsid sleep 60 >/dev/null 2>&1 & sleep 0.2; echo done'),
    {},
  );
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
  expect((await output(job, 'note')).toString()).toMatch(/background.*sleep/);
});

test('a job is started once; a second start of the same id is refused and changes nothing', async () => {
  const spec = fixture.shell('sleep 0.2; echo once');
  const job = await jobs.start(spec, {});
  await expect(jobs.start(spec, {})).rejects.toBeInstanceOf(JobStartError);
  await ended(job);
  await expect(jobs.start(spec, {})).rejects.toBeInstanceOf(JobStartError);
  await jobs.release(job.id);
  await expect(jobs.start(spec, {})).rejects.toBeInstanceOf(JobStartError);
  expect(job.records(0).filter((record) => record.type === 'started')).toHaveLength(1);
});

test('a job that cannot be started ends as interrupted, not started', async () => {
  const broken = fixture.agent({ bwrapPath: '/no/such/bwrap' });
  const spec = fixture.command(['true']);
  await expect(broken.start(spec, {})).rejects.toBeInstanceOf(JobStartError);
  expect(broken.get(spec.job)?.ended).toMatchObject({
    outcome: 'interrupted',
    reason: 'not_started',
    log: { bytes: 0, lines: 0, gaps: [] },
  });
});

test('a released job leaves journal and backups, and is not loaded again', async () => {
  const job = await jobs.start(fixture.shell('sleep 0.5; echo hello'), {});
  await expect(jobs.release(job.id)).rejects.toThrow('running');
  await ended(job);
  expect(jobs.all()).toEqual([job]);
  await jobs.release(job.id);
  expect(jobs.all()).toEqual([]);
  expect(existsSync(join(job.directory, 'journal'))).toBe(true);
  expect(existsSync(join(job.directory, 'spool'))).toBe(false);
  const next = fixture.agent();
  await next.load();
  expect(next.all()).toEqual([]);
});

test('an ended job is loaded with its end and its whole log', async () => {
  const job = await jobs.start(fixture.shell('seq 1 1000'), {});
  const end = await ended(job);
  const log = await readWholeLog(job);
  await jobs.close();
  const next = fixture.agent();
  await next.load();
  const again = next.get(job.id)!;
  expect(again.ended).toEqual(end);
  expect(again.records(0)).toEqual(job.records(0));
  expect((await readWholeLog(again, 100)).equals(log)).toBe(true);
});

test('added jobs are announced, and loaded ones too', async () => {
  const seen: string[] = [];
  jobs.onAdded((job) => void seen.push(job.id));
  const job = await jobs.start(fixture.command(['true']), {});
  await ended(job);
  const next = fixture.agent();
  next.onAdded((each) => void seen.push(each.id));
  await next.load();
  expect(seen).toEqual([job.id, job.id]);
});

test('several jobs run beside each other', async () => {
  const started = await Promise.all(
    Array.from({ length: 4 }, (_, index) => jobs.start(fixture.shell(`echo ${index}`), {})),
  );
  const texts = await Promise.all(
    started.map(async (job) => ended(job).then(async () => String(await output(job)))),
  );
  expect(texts).toEqual(['0\n', '1\n', '2\n', '3\n']);
});

test('the control socket is for its owner alone', async () => {
  const job = await jobs.start(fixture.command(['sleep', '60']), {});
  expect(statSync(join(job.directory, 'control.sock')).mode & 0o777).toBe(0o600);
  expect(statSync(job.directory).mode & 0o777).toBe(0o700);
});
