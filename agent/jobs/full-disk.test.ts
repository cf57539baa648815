import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createJobs } from './jobs.ts';
import type { Jobs } from './job.ts';
import { ended, JobsFixture, output, until } from './jobs-fixture.ts';
import { killRunner } from './runner-process.ts';

let state: string;
let jobs: Jobs;
let fixture: JobsFixture;
let warnings: string[];

beforeEach(async () => {
  state = realpathSync(mkdtempSync(join(tmpdir(), 'ivd-')));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', state]);
  warnings = [];
  fixture = await JobsFixture.create();
  jobs = agent();
  await jobs.load();
});

afterEach(async () => {
  execFileSync('mount', ['-o', 'remount,rw', state]);
  await jobs.killAll('killed');
  await jobs.close();
  await fixture.close();
  // A runner that has ended is gone a moment later.
  await vi.waitFor(() => execFileSync('umount', [state], { stdio: 'ignore' }), { timeout: 30_000 });
  rmSync(state, { recursive: true, force: true });
});

function agent(): Jobs {
  return createJobs({
    stateDirectory: state,
    programDirectory: join(import.meta.dirname, '..', '..'),
    protectedPaths: [],
    log: { warn: (_fields, message) => void warnings.push(message) },
  });
}

function fill(): void {
  try {
    writeFileSync(join(state, 'other'), Buffer.alloc(4 * 1024 * 1024));
  } catch {
    // The write stops where the space ends.
  }
}

test('a program prints more than the disk takes, ends by itself, and every line is accounted for', async () => {
  const job = await jobs.start(fixture.shell('seq 1 1000000; exit 6'), {});
  const end = await ended(job);
  expect(end).toMatchObject({ outcome: 'failed', exitStatus: 6 });
  const missing = end.log.gaps.reduce((sum, gap) => sum + gap.missingLines, 0);
  expect(end.log.lines + missing).toBe(1_000_000);
  expect(end.log.lines).toBeGreaterThan(10_000);
  const text = (await output(job)).toString();
  expect(text.startsWith('1\n2\n3\n')).toBe(true);
});

test('a disk that fills up while a job runs costs output, never the end of the job', async () => {
  const job = await jobs.start(fixture.shell('echo first; sleep 0.5; seq 1 50000; exit 3'), {});
  fill();
  const end = await ended(job);
  expect(end).toMatchObject({ outcome: 'failed', reason: 'exit_status', exitStatus: 3 });
  const missing = end.log.gaps.reduce((sum, gap) => sum + gap.missingLines, 0);
  expect(end.log.lines + missing).toBe(50_001);
});

test('on a full disk no job starts, and nothing of it is left', async () => {
  fill();
  const spec = fixture.command(['true']);
  await expect(jobs.start(spec, {})).rejects.toThrow('cannot be made');
  expect(jobs.all()).toEqual([]);
  rmSync(join(state, 'other'));
  const job = await jobs.start(spec, {});
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
});

test('the end of a dead runner is written as soon as the disk takes it', async () => {
  const job = await jobs.start(fixture.shell('seq 1 1000; sleep 60'), {});
  await until(job, () => job.logLength > 0);
  await jobs.close();
  await killRunner(job.directory);
  execFileSync('mount', ['-o', 'remount,ro', state]);
  jobs = agent();
  await jobs.load();
  const again = jobs.get(job.id)!;
  expect(again.ended).toBe(null);
  expect(warnings).toEqual(['the end of a job cannot be written']);
  execFileSync('mount', ['-o', 'remount,rw', state]);
  expect(await ended(again)).toMatchObject({
    outcome: 'interrupted',
    reason: 'runner_died',
    log: { lines: 1000 },
  });
});
