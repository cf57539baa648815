import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { planSchema } from '../../proto/documents/kinds/plan.ts';
import { parseStrictJson } from '../../proto/documents/strict-json.ts';
import type { Job, Jobs } from '../jobs/job.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { ended, output, until } from '../jobs/jobs-fixture.ts';
import type { JournalRecord } from '../jobs/journal-record.ts';
import { killRunner } from '../jobs/runner-process.ts';
import { printed, ScriptedJobs, stepsOf } from './testing/scripted-jobs.ts';
import type { ScriptedStep } from './testing/scripted-step.ts';

let its: ScriptedJobs;
let jobs: Jobs;
let device: string;

beforeEach(async () => {
  its = await ScriptedJobs.create('content of the disk');
  ({ jobs, device } = its);
});
afterEach(() => its.close());

const start = (script: ScriptedStep[], change?: Partial<JobSpec>) => its.start(script, change);
const types = (job: Job) => job.records(0).map((record) => record.type);

const count = 'i=0; while [ $i -lt 12 ]; do echo $i; i=$((i+1)); sleep 0.1; done; echo whole';

test('steps stand in the journal before and after they ran, with what they saved', async () => {
  const job = await start([
    { id: 'first', interrupt: 'now', save: 'old bytes', run: 'echo one' },
    { id: 'second', interrupt: 'finish', run: 'echo two' },
  ]);
  expect(await ended(job)).toMatchObject({
    outcome: 'succeeded',
    result: { device, planned: null },
  });
  expect(types(job)).toEqual([
    'received',
    'started',
    'step_started',
    'step_saved',
    'step_ended',
    'step_started',
    'step_ended',
    'ended',
  ]);
  const digest = `sha256:${createHash('sha256').update('old bytes').digest('hex')}`;
  expect(job.records(3)[0]).toMatchObject({
    step: 'first',
    backups: [{ path: 'backups/first', bytes: 9, digest }],
  });
  expect((await output(job, 'note')).toString()).toContain('Step first: run first');
});

test('a step that fails ends the job with its reason', async () => {
  const job = await start([
    { id: 'first', interrupt: 'now', fail: 'no_backup_space' },
    { id: 'second', interrupt: 'now' },
  ]);
  expect(await ended(job)).toMatchObject({ outcome: 'failed', reason: 'no_backup_space' });
  expect(stepsOf(job)).toEqual(['step_started first', 'step_ended first']);
  expect(job.records(0)).toContainEqual(
    expect.objectContaining({ type: 'step_ended', ok: false, detail: 'first failed' }),
  );
  expect((await output(job, 'note')).toString()).toContain('first failed');
});

test('a stop now ends a step that may be interrupted now', async () => {
  const job = await start([
    { id: 'first', interrupt: 'now', run: `echo ready; ${count}` },
    { id: 'second', interrupt: 'now', run: 'echo second' },
  ]);
  await printed(job, 'ready');
  await job.cancel('now', 'cancelled');
  expect(job.ended).toMatchObject({ outcome: 'cancelled', reason: 'cancelled' });
  expect((await output(job)).toString()).not.toContain('whole');
  expect(stepsOf(job)).toEqual(['step_started first', 'step_ended first']);
});

test.each(['now', 'after_step'] as const)(
  'a stop (%s) lets a step that must finish reach its end, and no other begin',
  async (mode) => {
    const job = await start([
      { id: 'first', interrupt: 'finish', run: `echo ready; ${count}` },
      { id: 'second', interrupt: 'now', run: 'echo second' },
    ]);
    await printed(job, 'ready');
    await job.cancel(mode, 'revoked');
    expect(job.ended).toBe(null);
    expect(await ended(job)).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
    const text = (await output(job)).toString();
    expect(text).toContain('whole');
    expect(text).not.toContain('second');
    expect(stepsOf(job)).toEqual(['step_started first', 'step_ended first']);
    expect(job.records(0)).toContainEqual(
      expect.objectContaining({ type: 'step_ended', step: 'first', ok: true }),
    );
  },
);

test('after_step lets a step that could be interrupted end; now may still follow', async () => {
  const job = await start([{ id: 'first', interrupt: 'now', run: `echo ready; ${count}` }]);
  await printed(job, 'ready');
  await job.cancel('after_step', 'grant_expired');
  await printed(job, '4');
  expect(job.ended).toBe(null);
  await job.cancel('now', 'revoked');
  expect(job.ended).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
  expect((await output(job)).toString()).not.toContain('whole');
});

test('a stop during the last step that finishes changes nothing: all was done', async () => {
  const job = await start([{ id: 'only', interrupt: 'finish', run: `echo ready; ${count}` }]);
  await printed(job, 'ready');
  await job.cancel('now', 'cancelled');
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded', reason: null });
  expect(types(job)).toContain('stop_requested');
});

test('the end of the time lets a step that must finish end first', async () => {
  const job = await start(
    [
      { id: 'first', interrupt: 'finish', run: 'sleep 4; echo whole' },
      { id: 'second', interrupt: 'now', run: 'echo second' },
    ],
    { maxRuntimeSeconds: 3 },
  );
  expect(await ended(job)).toMatchObject({ outcome: 'timed_out', reason: 'time_limit' });
  expect((await output(job)).toString()).toContain('whole');
  expect(stepsOf(job)).toEqual(['step_started first', 'step_ended first']);
});

test('a runner that dies inside a step is reported with the step, and its undo is offered', async () => {
  const job = await start([
    { id: 'first', interrupt: 'finish', save: 'old', run: 'echo one' },
    { id: 'second', interrupt: 'finish', save: 'older', run: 'echo two; sleep 60' },
  ]);
  await printed(job, 'two');
  await killRunner(job.directory);
  expect(await ended(job)).toMatchObject({
    outcome: 'interrupted',
    reason: 'runner_died',
    result: { lastStep: 'second', undoOffered: true },
  });
});

test('nothing is offered to be undone when nothing was saved', async () => {
  const job = await start([{ id: 'first', interrupt: 'finish', run: 'echo one; sleep 60' }]);
  await printed(job, 'one');
  await killRunner(job.directory);
  expect(await ended(job)).toMatchObject({ result: { lastStep: 'first', undoOffered: false } });
});

test('an error that nobody caught ends the job as failed, and kills what runs', async () => {
  const job = await start([{ id: 'first', interrupt: 'finish', crash: 'a defect' }]);
  expect(await ended(job)).toMatchObject({ outcome: 'failed', reason: 'runner_error' });
});

test('progress reaches the agent, and a later agent too', async () => {
  const job = await start([{ id: 'first', interrupt: 'now', run: 'echo ready; sleep 60' }]);
  await until(job, () => job.progress !== null);
  expect(job.progress).toEqual({ phase: 'step', percent: 50, text: 'in first' });
  await jobs.close();
  const next = its.fixture.agent();
  await next.load();
  expect(next.get(job.id)?.progress).toEqual(job.progress);
});

test('undo finds the journal and the backups of the job it takes back', async () => {
  const done = await start([{ id: 'first', interrupt: 'now', save: 'as it was' }]);
  await ended(done);
  await jobs.release(done.id);
  const undo = await start([], { mode: 'undo', undoes: done.id });
  expect(await ended(undo)).toMatchObject({
    outcome: 'succeeded',
    result: { contents: ['as it was'] },
  });
});

const plan = async (script: ScriptedStep[]) => {
  const job = await start(script, { mode: 'plan' });
  const end = await ended(job);
  return { end, bytes: await job.readPlan() };
};

test('the same state gives the same bytes of plan, and they are a valid document', async () => {
  const script: ScriptedStep[] = [{ id: 'first', interrupt: 'finish' }];
  const first = await plan(script);
  const second = await plan(script);
  expect(first.end).toMatchObject({ outcome: 'succeeded', result: null });
  expect(first.bytes!.equals(second.bytes!)).toBe(true);
  const document = planSchema.parse(parseStrictJson(first.bytes!));
  expect(document).toMatchObject({
    action: 'filesystem.repair',
    actionVersion: 1,
    parameters: { device },
    steps: [{ id: 'first' }],
  });
  writeFileSync(device, 'another content');
  const third = await plan(script);
  expect(third.bytes!.equals(first.bytes!)).toBe(false);
});

test('apply gets the plan whose bytes were ordered', async () => {
  const script: ScriptedStep[] = [{ id: 'first', interrupt: 'now' }];
  const { bytes } = await plan(script);
  const job = await start(script, { plan: bytes!.toString('base64') });
  expect(await ended(job)).toMatchObject({ result: { planned: 1 } });
});

const hangs = 'trap "" TERM; echo ready; i=0; while [ $i -lt 600 ]; do i=$((i+1)); sleep 0.1; done';

test.each(['finish', 'rollback'] as const)(
  'a step (%s) that holds back a stop for longer than its bound is killed and called unfinished',
  async (interrupt) => {
    const script: ScriptedStep[] = [
      {
        id: 'first',
        interrupt,
        save: 'old',
        run: hangs,
        ...(interrupt === 'rollback' && { rollback: hangs }),
      },
      { id: 'second', interrupt: 'now', run: 'echo second' },
    ];
    const { bytes } = await plan(script);
    const job = await start(script, { plan: bytes!.toString('base64') });
    await printed(job, 'ready');
    const startedAt = performance.now();
    await job.cancel('now', 'requested');
    expect(job.ended).toBe(null);
    expect(await ended(job)).toMatchObject({
      outcome: 'cancelled',
      reason: 'requested',
      result: { lastStep: 'first', undoOffered: true },
    });
    // The bound of 1 s, and what a stop may take.
    expect(performance.now() - startedAt).toBeGreaterThan(900);
    expect(performance.now() - startedAt).toBeLessThan(8_000);
    expect((await output(job, 'note')).toString()).toMatch(
      'Step first did not reach its end within its bound and was killed; it is unfinished.',
    );
    expect((await output(job)).toString()).not.toContain('second');
    expect(stepsOf(job)).not.toContain('step_started second');
  },
);

test('the end of the time ends a step that must finish, too, when its bound is over', async () => {
  const script: ScriptedStep[] = [{ id: 'first', interrupt: 'finish', run: hangs }];
  const { bytes } = await plan(script);
  const job = await start(script, { plan: bytes!.toString('base64'), maxRuntimeSeconds: 3 });
  expect(await ended(job)).toMatchObject({
    outcome: 'timed_out',
    reason: 'time_limit',
    result: { lastStep: 'first', undoOffered: false },
  });
});

test('a plan that is no valid document is a failure, and there is no plan', async () => {
  const bad = await plan([{ id: 'Not An Id', interrupt: 'now' }]);
  expect(bad.end).toMatchObject({ outcome: 'failed', reason: 'plan_malformed' });
  expect(bad.bytes).toBe(null);
});

test('an action that cannot plan or undo says so', async () => {
  const job = await jobs.start(its.fixture.command(['true'], { mode: 'plan' }), {});
  expect(await ended(job)).toMatchObject({
    outcome: 'failed',
    reason: 'mode_not_supported',
    result: { detail: 'command.run has no plan' },
  });
  const undo = await jobs.start(
    its.fixture.command(['true'], { mode: 'undo', undoes: job.id }),
    {},
  );
  expect(await ended(undo)).toMatchObject({ outcome: 'failed', reason: 'undo_not_possible' });
});

test('a step that cannot be journalled does not run', async () => {
  const records: JournalRecord[] = [];
  const job = await start([
    { id: 'first', interrupt: 'now', run: `echo ready; sleep 0.5` },
    { id: 'x'.repeat(1024 * 1024), interrupt: 'now', run: 'echo never' },
  ]);
  records.push(await ended(job));
  expect(records[0]).toMatchObject({ outcome: 'failed', reason: 'action_error' });
  expect((await output(job)).toString()).toBe('ready\n');
});
