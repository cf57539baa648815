import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Job, Jobs } from '../jobs/job.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { ended, output } from '../jobs/jobs-fixture.ts';
import { killRunner } from '../jobs/runner-process.ts';
import { printed, ScriptedJobs, stepsOf } from './testing/scripted-jobs.ts';
import type { ScriptedStep } from './testing/scripted-step.ts';

let its: ScriptedJobs;
let jobs: Jobs;
let device: string;
/** Writes once, waits to be stopped, would write again. */
let changing: ScriptedStep;

beforeEach(async () => {
  its = await ScriptedJobs.create('one two');
  ({ jobs, device } = its);
  changing = {
    id: 'change',
    interrupt: 'rollback',
    save: 'one two',
    run: `${write('ONE two')}; ${waiting}; ${write('ONE TWO')}`,
    rollback: `${write('one two')}; echo put back`,
  };
});

afterEach(() => its.close());

const start = (script: ScriptedStep[], change?: Partial<JobSpec>) => its.start(script, change);
const content = () => its.content();
const write = (text: string) => `printf '%s' '${text}' > ${device}`;
const detailOf = (job: Job) =>
  job.records(0).flatMap((record) => (record.type === 'step_ended' ? [record.detail] : []))[0];

/** What the undo of a job finds to put back. */
async function undo(job: Job) {
  await jobs.release(job.id);
  return ended(await start([], { mode: 'undo', undoes: job.id }));
}

const waiting = 'echo waiting; sleep 60';
/** Waits until `go` is called. */
const held = () => `echo waiting; until [ "$(cat ${device})" = go ]; do sleep 0.05; done`;
const go = () => writeFileSync(device, 'go');
const later: ScriptedStep = { id: 'later', interrupt: 'now', run: 'echo later' };
const rolledBack = [
  'step_started change',
  'step_saved change',
  'step_rolled_back change',
  'step_ended change',
];

describe('a step that rolls back', () => {
  it('puts everything back when it is stopped between two writes, and nothing begins after it', async () => {
    const job = await start([changing, later]);
    await printed(job, 'waiting');
    expect(content()).toBe('ONE two');
    await job.cancel('now', 'revoked');
    expect(await ended(job)).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
    expect(content()).toBe('one two');
    expect(stepsOf(job)).toEqual(rolledBack);
    expect(detailOf(job)).toBe('The job was told to stop. Everything was put back as it was.');
    expect((await output(job)).toString()).not.toContain('later');
    expect(await undo(job)).toMatchObject({ result: { contents: [] } });
  });

  it('has nothing to put back when it is stopped before its first write', async () => {
    const job = await start([{ ...changing, before: waiting }, later]);
    await printed(job, 'waiting');
    await job.cancel('now', 'revoked');
    expect(await ended(job)).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
    expect(content()).toBe('one two');
    expect(stepsOf(job)).toEqual(['step_started change', 'step_ended change']);
    expect((await output(job)).toString()).not.toMatch(/put back|later/);
  });

  it('puts everything back when it was stopped and has not looked at that before its end', async () => {
    const deaf = `trap '' TERM; ${write('ONE two')}; ${held()}; ${write('ONE TWO')}; echo done`;
    const job = await start([{ ...changing, run: deaf }, later]);
    await printed(job, 'waiting');
    await job.cancel('now', 'revoked');
    go();
    expect(await ended(job)).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
    expect((await output(job)).toString()).toMatch(/done\nput back\n$/);
    expect(content()).toBe('one two');
    expect(stepsOf(job)).toEqual(rolledBack);
  });

  it('reaches its end when it is to stop after the step', async () => {
    const job = await start([{ ...changing, run: `${held()}; ${write('ONE TWO')}` }, later]);
    await printed(job, 'waiting');
    await job.cancel('after_step', 'grant_expired');
    go();
    expect(await ended(job)).toMatchObject({ outcome: 'cancelled', reason: 'grant_expired' });
    expect(content()).toBe('ONE TWO');
    expect(stepsOf(job)).not.toContain('step_rolled_back change');
    expect(await undo(job)).toMatchObject({ result: { contents: ['one two'] } });
  });

  it('puts everything back when it fails, also if it is stopped meanwhile', async () => {
    const failing = { ...changing, run: write('ONE two'), fail: 'verify_failed' };
    const job = await start([failing, later]);
    expect(await ended(job)).toMatchObject({ outcome: 'failed', reason: 'verify_failed' });
    expect(content()).toBe('one two');
    expect(stepsOf(job)).toEqual(rolledBack);
    expect(detailOf(job)).toBe('change failed. Everything was put back as it was.');
    const slowly = `${held()}; ${changing.rollback}`;
    const stopped = await start([{ ...failing, rollback: slowly }, later]);
    await printed(stopped, 'waiting');
    await stopped.cancel('now', 'revoked');
    go();
    expect(await ended(stopped)).toMatchObject({ outcome: 'cancelled', reason: 'revoked' });
    expect(stepsOf(stopped)).toEqual(rolledBack);
    expect(content()).toBe('one two');
  });

  it('that cannot put everything back says so, and its undo is left', async () => {
    const job = await start([{ ...changing, rollback: `${write('one')}; exit 1` }, later]);
    await printed(job, 'waiting');
    await job.cancel('now', 'revoked');
    expect(await ended(job)).toMatchObject({
      outcome: 'failed',
      reason: 'rollback_incomplete',
      result: { lastStep: 'change', undoOffered: true },
    });
    expect(stepsOf(job)).toEqual(rolledBack.filter((record) => !record.includes('rolled_back')));
    expect((await output(job, 'note')).toString()).toContain(
      'Putting back what step change did failed: change exited with 1. What was saved is kept: undo the job.',
    );
    expect(await undo(job)).toMatchObject({ result: { contents: ['one two'] } });
  });

  it('killed while it puts things back leaves an undo that works from there', async () => {
    const half = `${write('one')}; echo half; sleep 60; ${write('one two')}`;
    const job = await start([{ ...changing, rollback: half }, later]);
    await printed(job, 'waiting');
    await job.cancel('now', 'revoked');
    await printed(job, 'half');
    await killRunner(job.directory);
    expect(await ended(job)).toMatchObject({
      outcome: 'interrupted',
      reason: 'runner_died',
      result: { lastStep: 'change', undoOffered: true },
    });
    expect(content()).toBe('one');
    expect(await undo(job)).toMatchObject({ result: { contents: ['one two'] } });
  });

  it('offers no undo of what it has put back when its runner dies after that', async () => {
    const dying: ScriptedStep = {
      ...changing,
      run: write('ONE two'),
      fail: 'wrong',
      isOptional: true,
    };
    const job = await start([dying, { ...later, run: waiting }]);
    await printed(job, 'waiting');
    await killRunner(job.directory);
    expect(await ended(job)).toMatchObject({
      outcome: 'interrupted',
      result: { lastStep: 'later', undoOffered: false },
    });
  });
});
