import { execFileSync } from 'node:child_process';
import {
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectToRunner } from './control-channel.ts';
import { createJobFolder, readPlan, writeReceived } from './job-folder.ts';
import { ended, JobsFixture, output } from './jobs-fixture.ts';
import { JournalWriter } from './journal-writer.ts';
import type { JobSpec } from './job-spec.ts';

let fixture: JobsFixture;
let victim: string;

beforeEach(async () => {
  fixture = await JobsFixture.create();
  mkdirSync(join(fixture.state, 'jobs'));
  victim = join(fixture.state, 'ledger');
  writeFileSync(victim, 'burnt\n'.repeat(100));
});

afterEach(async () => {
  await fixture.close();
});

/** The folder of a job that was started and whose runner is dead. */
async function abandoned(
  change: Partial<JobSpec> = {},
): Promise<{ spec: JobSpec; folder: string }> {
  const spec = fixture.command(['true'], change);
  const folder = fixture.directory(spec.job);
  await createJobFolder(folder);
  await writeReceived(folder, spec);
  const journal = JournalWriter.open(folder);
  journal.append({ type: 'started', at: 2 });
  journal.close();
  return { spec, folder };
}

type Plant = (path: string) => void;
const plants: [string, Plant][] = [
  ['a symlink', (path) => symlinkSync(victim, path)],
  ['a hard link', (path) => linkSync(victim, path)],
  ['a pipe', (path) => void execFileSync('mkfifo', [path])],
  ['a folder', (path) => mkdirSync(path)],
];

describe.each(plants)('%s that a job planted', (_name, plant) => {
  test.each(['journal', 'spool', 'tail.a', 'tail.b'])('as its %s is damage', async (name) => {
    const { spec, folder } = await abandoned();
    rmSync(join(folder, name), { force: true });
    plant(join(folder, name));
    const jobs = fixture.agent();
    await jobs.load();
    const job = jobs.get(spec.job)!;
    expect(await ended(job)).toMatchObject({ outcome: 'interrupted', reason: 'journal_damaged' });
    expect(readFileSync(victim, 'utf8')).toBe('burnt\n'.repeat(100));
    const log = (await output(job, 'note')).toString();
    expect(log.includes('The log was replaced')).toBe(name !== 'journal');
    expect(statSync(join(folder, 'journal')).isFile()).toBe(true);
  });

  test('as its plan is no plan', async () => {
    const { folder } = await abandoned({ action: 'filesystem.repair', mode: 'plan' });
    plant(join(folder, 'plan'));
    expect(await readPlan(folder)).toBe(null);
  });

  test('as its control socket is not connected to', async () => {
    const { folder } = await abandoned();
    plant(join(folder, 'control.sock'));
    await expect(connectToRunner(folder)).rejects.toThrow();
  });
});

test('a pipe in the place of a journal does not hold up other jobs', async () => {
  const jobs = fixture.agent();
  await jobs.load();
  const bad = await jobs.start(
    fixture.shell(
      `rm ${fixture.state}/jobs/*/journal && mkfifo ${fixture.state}/jobs/$(ls ${fixture.state}/jobs)/journal`,
    ),
    {},
  );
  expect(await ended(bad)).toMatchObject({ outcome: 'interrupted', reason: 'journal_damaged' });
  const next = await jobs.start(fixture.command(['true']), {});
  expect(await ended(next)).toMatchObject({ outcome: 'succeeded' });
});

test('a symlink to the socket of another program is not connected to', async () => {
  const { folder } = await abandoned();
  let connections = 0;
  const other = createServer(() => connections++);
  const path = join(fixture.state, 'other.sock');
  await new Promise<void>((resolve) => other.listen(path, resolve));
  symlinkSync(path, join(folder, 'control.sock'));
  await expect(connectToRunner(folder)).rejects.toThrow('no runner listens there');
  expect(connections).toBe(0);
  await new Promise((resolve) => other.close(resolve));
});

describe('a plan', () => {
  const plan = (spec: JobSpec, change: object = {}) => ({
    server: spec.server,
    action: spec.action,
    actionVersion: spec.actionVersion,
    parameters: spec.parameters,
    target: {},
    summary: 'Nothing.',
    findings: [],
    preconditions: [],
    steps: [],
    ...change,
  });

  test('is read when it is one for what was ordered, and not otherwise', async () => {
    const { spec, folder } = await abandoned({ mode: 'plan' });
    const readBack = async (value: unknown) => {
      writeFileSync(join(folder, 'plan'), JSON.stringify(value));
      return readPlan(folder);
    };
    expect(await readBack(plan(spec))).not.toBe(null);
    expect(await readBack(plan(spec, { action: 'filesystem.repair' }))).toBe(null);
    expect(await readBack(plan(spec, { parameters: { argv: ['reboot'] } }))).toBe(null);
    expect(await readBack(plan(spec, { actionVersion: 2 }))).toBe(null);
    expect(await readBack(plan(spec, { server: '00000000-0000-7000-8000-000000000000' }))).toBe(
      null,
    );
    expect(await readBack(plan(spec, { more: 1 }))).toBe(null);
    expect(await readBack(plan(spec, { summary: 'x'.repeat(70_000) }))).toBe(null);
    expect(await readBack('text')).toBe(null);
  });
});
