import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Jobs } from './job.ts';
import { ended, JobsFixture, output, until } from './jobs-fixture.ts';

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

function sleepers(seconds: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8') === `sleep\0${seconds}\0`;
    } catch {
      return false;
    }
  });
}

let unique = 6_000_000 + process.pid * 100;
const uniqueSeconds = () => String(unique++);

test('a stop ends a command politely, and says why', async () => {
  const script = 'trap "echo bye; exit 9" TERM; echo ready; while :; do sleep 0.05; done';
  const job = await jobs.start(fixture.shell(script), {});
  await until(job, () => job.logLength > 0);
  await job.cancel('now', 'cancelled');
  expect(job.ended).toMatchObject({ outcome: 'cancelled', reason: 'cancelled', exitStatus: 9 });
  expect((await output(job)).toString()).toBe('ready\nbye\n');
  expect((await output(job, 'note')).toString()).toBe('Stopped: cancelled.\n');
  expect(job.records(0).map((record) => record.type)).toEqual([
    'received',
    'started',
    'stop_requested',
    'ended',
  ]);
});

test('children in sessions of their own that ignore it are gone within 5 s', async () => {
  const seconds = uniqueSeconds();
  const stubborn = `trap "" TERM HUP INT; setsid -f sleep ${seconds}; sleep ${seconds}`;
  const script = `setsid -f sh -c '${stubborn}'; ${stubborn}`;
  const job = await jobs.start(fixture.shell(script), {});
  await vi.waitFor(() => expect(sleepers(seconds)).toHaveLength(4), { timeout: 30_000 });
  const start = performance.now();
  await job.cancel('now', 'revoked');
  expect(performance.now() - start).toBeLessThan(5_000);
  expect(job.ended).toMatchObject({ outcome: 'cancelled', reason: 'revoked', exitStatus: 137 });
  expect(sleepers(seconds)).toEqual([]);
});

test('a stop that comes twice is one stop', async () => {
  const job = await jobs.start(fixture.command(['sleep', '60']), {});
  await Promise.all([job.cancel('now', 'cancelled'), job.cancel('now', 'revoked')]);
  expect(job.ended).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
  await job.cancel('now', 'revoked');
  expect(job.ended).toMatchObject({ reason: 'cancelled' });
});

test('after_step lets a command that is its own step end', async () => {
  const job = await jobs.start(fixture.shell('sleep 0.4; echo whole'), {});
  await job.cancel('after_step', 'revoked');
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
  expect((await output(job)).toString()).toBe('whole\n');
});

test('a runner that does not obey is killed, and the job says that it was', async () => {
  const seconds = uniqueSeconds();
  const job = await jobs.start(fixture.command(['sleep', seconds]), {});
  const pid = fixture.runnerPid(job.id);
  process.kill(pid, 'SIGSTOP');
  const start = performance.now();
  await job.cancel('now', 'cancelled');
  expect(performance.now() - start).toBeLessThan(6_000);
  expect(job.ended).toMatchObject({ outcome: 'interrupted', reason: 'killed' });
  expect(sleepers(seconds)).toEqual([]);
});

test('a runner whose event loop is blocked is ended when its time is over, also by the next agent', async () => {
  const agent = fixture.agent({ overrunGraceMs: 200 });
  const seconds = uniqueSeconds();
  const blocked = () => fixture.command(['sleep', seconds], { maxRuntimeSeconds: 1 });
  const first = await agent.start(blocked(), {});
  process.kill(fixture.runnerPid(first.id), 'SIGSTOP');
  expect(await ended(first)).toMatchObject({ outcome: 'interrupted', reason: 'killed' });
  expect((await output(first, 'note')).toString()).toContain('(time_limit), and was killed');
  const second = await jobs.start(blocked(), {});
  process.kill(fixture.runnerPid(second.id), 'SIGSTOP');
  await jobs.close();
  const next = fixture.agent({ overrunGraceMs: 200 });
  await next.load();
  expect(await ended(next.get(second.id)!)).toMatchObject({ reason: 'killed' });
  expect(sleepers(seconds)).toEqual([]);
}, 60_000);

test('a lock kills everything within a second', async () => {
  const seconds = uniqueSeconds();
  const script = `trap "" TERM; setsid -f sleep ${seconds}; sleep ${seconds}`;
  const started = [
    await jobs.start(fixture.shell(script), {}),
    await jobs.start(fixture.shell(script), {}),
  ];
  await vi.waitFor(() => expect(sleepers(seconds)).toHaveLength(4), { timeout: 30_000 });
  const start = performance.now();
  await jobs.killAll('locked');
  expect(performance.now() - start).toBeLessThan(1_000);
  expect(sleepers(seconds)).toEqual([]);
  for (const job of started) {
    expect(job.ended).toMatchObject({ outcome: 'interrupted', reason: 'locked' });
  }
});

test('a lock at any moment of the start leaves nothing running', async () => {
  const seconds = uniqueSeconds();
  const specs = Array.from({ length: 8 }, () => fixture.command(['sleep', seconds]));
  for (const [round, spec] of specs.entries()) {
    const starting = jobs.start(spec, {}).catch(() => undefined);
    await sleep(round * 25);
    await jobs.killAll('locked');
    await starting;
    // As the agent does: what was being started is looked at once more.
    await jobs.killAll('locked');
  }
  expect(sleepers(seconds)).toEqual([]);
  for (const spec of specs) {
    const job = jobs.get(spec.job);
    expect(job?.ended).toMatchObject({ outcome: 'interrupted' });
    const types = job!.records(0).map((record) => record.type);
    expect(types.at(-1)).toBe('ended');
    expect(types.filter((type) => type === 'ended')).toHaveLength(1);
  }
});

test('cut off for too long, a job that is to stop then stops, and one that is to finish does not', async () => {
  const agent = fixture.agent({ timings: { disconnectedMs: 300 } });
  agent.setConnected(true);
  const stops = await agent.start(fixture.command(['sleep', '60'], { onDisconnect: 'stop' }), {});
  const finishes = await agent.start(fixture.shell('sleep 1; echo end'), {});
  agent.setConnected(false);
  expect(await ended(stops)).toMatchObject({ outcome: 'cancelled', reason: 'disconnected' });
  expect(await ended(finishes)).toMatchObject({ outcome: 'succeeded' });
});

test('a connection that comes back in time keeps the job', async () => {
  const agent = fixture.agent({ timings: { disconnectedMs: 500 } });
  const spec = fixture.shell('sleep 1.2; echo end', { onDisconnect: 'stop' });
  const job = await agent.start(spec, {});
  agent.setConnected(false);
  setTimeout(() => agent.setConnected(true), 200);
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
});

test('without any agent a job counts as cut off, and one that comes back must be connected', async () => {
  const timings = { disconnectedMs: 700 };
  const start = async () => {
    const agent = fixture.agent({ timings });
    const spec = fixture.shell('sleep 2; echo end', { onDisconnect: 'stop' });
    const { id } = await agent.start(spec, {});
    await agent.close();
    return id;
  };
  const [cutOff, kept] = [await start(), await start()];
  const next = fixture.agent({ timings });
  await next.load();
  next.setConnected(false);
  expect(await ended(next.get(cutOff)!)).toMatchObject({ reason: 'disconnected' });
  expect(await ended(next.get(kept)!)).toMatchObject({ reason: 'disconnected' });
  const third = await start();
  const last = fixture.agent({ timings });
  await last.load();
  last.setConnected(true);
  expect(await ended(last.get(third)!)).toMatchObject({ outcome: 'succeeded' });
});
