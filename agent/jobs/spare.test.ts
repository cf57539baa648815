import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Jobs } from './job.ts';
import { ended, JobsFixture, output } from './jobs-fixture.ts';
import { JournalWriter } from './journal-writer.ts';
import { isRunnerAlive } from './runner-process.ts';

let fixture: JobsFixture;
let jobs: Jobs;

beforeEach(async () => {
  fixture = await JobsFixture.create({ startWithinMs: 500 });
  jobs = fixture.agent();
  await jobs.load();
});

afterEach(async () => {
  await fixture.close();
});

const spares = () =>
  readdirSync(join(fixture.state, 'jobs')).filter((name) => name.startsWith('spare-'));
const isReady = (name: string) => isRunnerAlive(join(fixture.state, 'jobs', name));
const pidOf = (name: string) => fixture.runnerRecord(name);

async function readySpare(): Promise<string> {
  return vi.waitFor(
    () => {
      const found = keeperOf(jobs).spare?.directory;
      expect(found).toBeDefined();
      return basename(found!);
    },
    { timeout: 30_000 },
  );
}

test('a spare is used by the next job and another one takes its place', async () => {
  jobs.keepSpare(true);
  // Whatever is mounted on this machine meanwhile makes a spare useless; then it is the next one's turn.
  await vi.waitFor(
    async () => {
      const first = await readySpare();
      const runner = pidOf(first);
      const spec = fixture.command([]);
      spec.parameters['argv'] = ['cat', `${fixture.directory(spec.job)}/spec.json`];
      const job = await jobs.start(spec, {});
      await ended(job);
      expect((await output(job)).toString()).toBe(JSON.stringify(spec));
      expect(pidOf(job.id)).toBe(runner);
    },
    { timeout: 30_000 },
  );
  expect(isReady(await readySpare())).toBe(true);
});

test('a spare that would not see a new mount is not used', async () => {
  jobs.keepSpare(true);
  const name = await readySpare();
  const runner = pidOf(name);
  const mounted = join(fixture.state, '..', `ivm-${process.pid}`);
  mkdirSync(mounted);
  execFileSync('mount', ['--make-private', '-t', 'tmpfs', 'tmpfs', mounted]);
  try {
    writeFileSync(join(mounted, 'file'), 'seen');
    const job = await jobs.start(fixture.command(['cat', join(mounted, 'file')]), {});
    expect(isReady(name)).toBe(false);
    await ended(job);
    expect(pidOf(job.id)).not.toBe(runner);
    expect((await output(job)).toString()).toBe('seen');
  } finally {
    execFileSync('umount', [mounted]);
    rmdirSync(mounted);
  }
});

test('a spare that nobody uses stays, and goes when it is not wanted any more', async () => {
  jobs.keepSpare(true);
  const name = await readySpare();
  await sleep(1_000);
  expect(isReady(name)).toBe(true);
  jobs.keepSpare(false);
  await vi.waitFor(() => expect(spares()).toEqual([]), { timeout: 30_000 });
});

test('a spare whose agent died leaves by itself, and its folder with the next agent', async () => {
  jobs.keepSpare(true);
  const name = await readySpare();
  // What a kill of the agent does: the connection closes, nothing else is done.
  letGo(jobs);
  await vi.waitFor(() => expect(isReady(name)).toBe(false), { timeout: 30_000 });
  const next = fixture.agent();
  await next.load();
  expect(spares()).toEqual([]);
});

test('a dead spare is not used', async () => {
  jobs.keepSpare(true);
  const name = await readySpare();
  await sleep(300);
  process.kill(fixture.runnerPid(name), 'SIGKILL');
  await sleep(100);
  const job = await jobs.start(fixture.command(['echo', 'hello']), {});
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
});

test('a folder that a spare left just as it got its job is that job', async () => {
  jobs.keepSpare(true);
  const name = await readySpare();
  const { job } = fixture.command(['true']);
  const journal = JournalWriter.open(join(fixture.state, 'jobs', name));
  journal.append({ type: 'received', at: 1, job, version: 1 });
  journal.close();
  letGo(jobs);
  const next = fixture.agent();
  await next.load();
  await vi.waitFor(() => expect(next.get(job)?.ended).not.toBe(null), { timeout: 30_000 });
  expect(next.get(job)?.ended).toMatchObject({ outcome: 'interrupted', reason: 'not_started' });
  expect(spares()).toEqual([]);
});

/** Closes the connection to the spare and forgets it, as the death of the agent would. */
function letGo(agent: Jobs): void {
  const keeper = keeperOf(agent);
  keeper.isWanted = false;
  keeper.spare!.channel.destroy();
  keeper.spare = null;
}

interface Keeper {
  spare: { directory: string; channel: { destroy(): void } } | null;
  isWanted: boolean;
}

function keeperOf(agent: Jobs): Keeper {
  return (agent as unknown as { spares: Keeper }).spares;
}
