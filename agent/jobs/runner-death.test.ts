import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { killRunners } from '../commands/lock.ts';
import type { Job, Jobs } from './job.ts';
import { decodeLog, ended, JobsFixture, output, readWholeLog, until } from './jobs-fixture.ts';
import { killRunner } from './runner-process.ts';

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

function runnerPid(job: string): number {
  return fixture.runnerPid(job);
}

/** Processes whose command line holds the word. */
function running(word: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false;
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.includes(word);
    } catch {
      return false;
    }
  });
}

/** Seconds that no other test sleeps for, to find a process by. */
let unique = 5_000_000 + process.pid * 100;
const uniqueSeconds = () => String(unique++);

test('the death of a runner ends its job and kills what called setsid', async () => {
  const seconds = uniqueSeconds();
  const script = `setsid -f sh -c 'setsid -f sleep ${seconds}'; echo begun; sleep ${seconds}`;
  const job = await jobs.start(fixture.shell(script), {});
  await until(job, () => job.logLength > 0);
  await vi.waitFor(() => expect(running(seconds)).toHaveLength(2), { timeout: 30_000 });
  process.kill(runnerPid(job.id), 'SIGKILL');
  expect(await ended(job)).toMatchObject({
    outcome: 'interrupted',
    reason: 'runner_died',
    exitStatus: null,
    result: { lastStep: null, undoOffered: false },
  });
  await vi.waitFor(() => expect(running(seconds)).toEqual([]), { timeout: 30_000 });
  expect((await output(job)).toString()).toBe('begun\n');
});

test('the death of the outer bubblewrap harms nothing', async () => {
  const job = await jobs.start(fixture.shell('sleep 0.5; echo alive'), {});
  const parent = /\nPPid:\t(\d+)/.exec(
    readFileSync(`/proc/${runnerPid(job.id)}/status`, 'utf8'),
  )![1];
  process.kill(Number(parent), 'SIGKILL');
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
  expect((await output(job)).toString()).toBe('alive\n');
});

test('killing a runner at any moment leaves a journal that tells the truth', async () => {
  for (let round = 0; round < 12; round++) {
    const spec = fixture.shell('i=0; while [ $i -lt 60 ]; do echo line $i; i=$((i+1)); done');
    const starting = jobs.start(spec, {});
    const started = await Promise.race([
      starting.then(
        () => true,
        () => false,
      ),
      sleep(120 + round * 8).then(() => null),
    ]);
    await sleep(round % 4);
    try {
      process.kill(runnerPid(spec.job), 'SIGKILL');
    } catch {
      // Not there yet, or not any more.
    }
    await starting.catch(() => undefined);
    const job = jobs.get(spec.job)!;
    const end = await ended(job);
    const types = job.records(0).map((record) => record.type);
    expect(types.at(0)).toBe('received');
    expect(types.filter((type) => type === 'ended')).toHaveLength(1);
    const wasStarted = types.includes('started');
    const expected = wasStarted
      ? [
          { outcome: 'succeeded', reason: null },
          { outcome: 'interrupted', reason: 'runner_died' },
        ]
      : [{ outcome: 'interrupted', reason: 'not_started' }];
    expect(expected).toContainEqual({ outcome: end.outcome, reason: end.reason });
    expect(started === true && !wasStarted).toBe(false);
    await checkLog(job);
    const lines = (await output(job)).toString().split('\n').slice(0, -1);
    expect(lines).toEqual(lines.map((_, index) => `line ${index}`));
    expect(lines.length === 60 || end.outcome === 'interrupted').toBe(true);
  }
}, 60_000);

test('a job outlives its agent, and the next one reads the same bytes', async () => {
  const script = 'for i in 1 2 3 4 5 6 7 8; do seq 1 500; sleep 0.1; done; echo end; exit 4';
  const job = await jobs.start(fixture.shell(script), {});
  await until(job, () => job.logLength > 0);
  const first = await readWholeLog(job);
  await jobs.close();
  const next = fixture.agent();
  await next.load();
  const again = next.get(job.id)!;
  expect(again.ended).toBe(null);
  expect(again.logLength).toBeGreaterThanOrEqual(first.length);
  expect(await ended(again)).toMatchObject({ outcome: 'failed', exitStatus: 4 });
  await checkLog(again);
  expect((await readWholeLog(again)).subarray(0, first.length).equals(first)).toBe(true);
  const numbers = Array.from({ length: 500 }, (_, index) => `${index + 1}\n`).join('');
  expect((await output(again)).toString()).toBe(`${numbers.repeat(8)}end\n`);
});

test('a job that ended while no agent was there is found ended', async () => {
  const job = await jobs.start(fixture.shell('sleep 0.3; echo alone; exit 5'), {});
  await jobs.close();
  await sleep(800);
  const next = fixture.agent();
  await next.load();
  expect(next.get(job.id)?.ended).toMatchObject({ outcome: 'failed', exitStatus: 5 });
  expect((await output(next.get(job.id)!)).toString()).toBe('alone\n');
});

test('a job whose runner died while no agent was there is found interrupted', async () => {
  const job = await jobs.start(fixture.shell('seq 1 100; sleep 60'), {});
  await until(job, () => job.logLength > 0);
  await jobs.close();
  process.kill(runnerPid(job.id), 'SIGKILL');
  const next = fixture.agent();
  await next.load();
  const again = next.get(job.id)!;
  expect(again.ended).toMatchObject({ outcome: 'interrupted', reason: 'runner_died' });
  expect(again.ended?.log.lines).toBe(100);
  await checkLog(again);
});

test('progress and a stop reach a runner through the next agent', async () => {
  const job = await jobs.start(fixture.command(['sleep', '60']), {});
  await jobs.close();
  const next = fixture.agent();
  await next.load();
  const again = next.get(job.id)!;
  await again.cancel('now', 'revoked');
  expect(again.ended).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
});

test('two agents in a row that come and go leave the job alone', async () => {
  const job = await jobs.start(fixture.shell('sleep 1; echo end'), {});
  for (let round = 0; round < 5; round++) {
    const other = fixture.agent();
    await other.load();
    expect(other.get(job.id)?.ended).toBe(null);
    await other.close();
  }
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
});

test('a pid that now belongs to another process is not killed', async () => {
  const job = await jobs.start(fixture.command(['true']), {});
  await ended(job);
  const info = { 'child-pid': process.pid, 'pid-namespace': 1 };
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8');
  await writeFile(join(fixture.state, 'runners', job.id), boot + JSON.stringify(info));
  expect(await killRunner(job.directory)).toBe(true);
});

test('what a job writes to its folder neither hides its runner nor has another process killed', async () => {
  const victim = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    const namespace = Number(/\d+/.exec(readlinkSync(`/proc/${victim.pid}/ns/pid`))![0]);
    const info = JSON.stringify({ 'child-pid': victim.pid, 'pid-namespace': namespace });
    const forge = `printf '%s' '${info}' | tee runner-pid.json ../runners runner > /dev/null`;
    const script = `cd ${fixture.state}/jobs/*/ && ${forge}; rm -rf ../../runners; echo forged; sleep 600`;
    const job = await jobs.start(fixture.shell(script), {});
    await until(job, () => job.logLength > 0);
    const runner = runnerPid(job.id);
    const { jobs: killed, remaining } = await killRunners(fixture.state);
    expect([killed, remaining]).toEqual([[job.id], []]);
    expect(await ended(job)).toMatchObject({ outcome: 'interrupted', reason: 'runner_died' });
    expect(existsSync(`/proc/${runner}`)).toBe(false);
    expect(victim.exitCode ?? victim.signalCode).toBe(null);
  } finally {
    victim.kill('SIGKILL');
  }
});

async function checkLog(job: Job): Promise<void> {
  const bytes = await readWholeLog(job);
  const { log } = job.ended!;
  expect(log.bytes).toBe(bytes.length);
  expect(log.digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`);
  expect(decodeLog(bytes).every((record) => record.payload.length > 0)).toBe(true);
}
