import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuardFolder } from '../guard/guard-folder.ts';
import { createJobFolder, writeReceived } from './job-folder.ts';
import { ended, JobsFixture } from './jobs-fixture.ts';
import { keptJobs } from './kept-jobs.ts';
import { finishPruning, pruneJob } from './prune-job.ts';
import { isRunnerAlive } from './runner-process.ts';

let fixture: JobsFixture;
beforeEach(async () => {
  fixture = await JobsFixture.create();
});
afterEach(async () => {
  await fixture.close();
});

const only = async () => {
  const [job, ...more] = await keptJobs(fixture.state);
  expect(more).toEqual([]);
  return job!;
};
const order = (job: string) => join(fixture.state, 'trust/orders', `${job}.json`);
const statement = (job: string) => join(fixture.state, 'trust/statements', `${job}.json`);

/** A job whose order says that an undo may come, and that has saved something. */
async function undoable(): Promise<string> {
  const saved = join(fixture.state, 'jobs/ID/backups/0');
  const job = await fixture.keptJob({ endedAt: 5, saved: [saved] });
  mkdirSync(join(fixture.directory(job), 'backups'));
  writeFileSync(join(fixture.directory(job), 'backups/0'), 'old'.repeat(100_000));
  mkdirSync(join(fixture.state, 'trust/orders'), { recursive: true });
  writeFileSync(order(job), '{}');
  return job;
}

/** A job that takes back another, as it is known before its runner starts. */
async function beginUndo(undoes: string): Promise<void> {
  const spec = fixture.command(['true'], { mode: 'undo', undoes });
  await createJobFolder(fixture.directory(spec.job));
  await writeReceived(fixture.directory(spec.job), spec);
}

describe('what jobs have left', () => {
  it('is nothing on a server without jobs', async () => {
    expect(await keptJobs(join(fixture.state, 'none'))).toEqual([]);
    // As for a user who may not look: nothing seen is not nothing there.
    writeFileSync(join(fixture.state, 'file'), '');
    await expect(keptJobs(join(fixture.state, 'file'))).rejects.toThrow('ENOTDIR');
    await finishPruning(join(fixture.state, 'none'));
    expect(existsSync(join(fixture.state, 'none'))).toBe(false);
  });

  it('names action, outcome, end and size of a job that may go', async () => {
    const jobs = fixture.agent();
    const job = await jobs.start(fixture.command(['true']), {});
    const { at } = await ended(job);
    await jobs.release(job.id);
    const found = await only();
    expect(found).toMatchObject({
      id: job.id,
      what: { action: 'command.run', mode: 'apply' },
      since: at,
      outcome: 'succeeded',
      isUndoable: false,
      hold: null,
    });
    expect(found.bytes).toBeGreaterThan(0);
  });

  it('counts backups, and says that without them there is no undo', async () => {
    await undoable();
    const found = await only();
    expect(found).toMatchObject({ isUndoable: true, hold: null, since: 5 });
    expect(found.bytes).toBeGreaterThan(300_000);
  });

  it('is held while the job runs, and until its log has reached the control plane', async () => {
    const jobs = fixture.agent();
    const spec = fixture.shell('read line < /dev/null; exec sleep 600');
    const job = await jobs.start(spec, {});
    expect(await only()).toMatchObject({ hold: 'running', outcome: null });
    await job.cancel('now', 'requested');
    await expect.poll(() => isRunnerAlive(fixture.directory(spec.job))).toBe(false);
    expect(await only()).toMatchObject({ hold: 'not_reported', outcome: 'cancelled' });
    await jobs.release(spec.job);
    expect(await only()).toMatchObject({ hold: null });
  });

  it('is held while the agent still repeats what it stated about the order', async () => {
    const id = await fixture.keptJob();
    mkdirSync(join(fixture.state, 'trust/statements'), { recursive: true });
    writeFileSync(statement(id), '{}');
    expect(await only()).toMatchObject({ hold: 'remembered' });
  });

  it('is held while a guardian may put files back', async () => {
    const id = await fixture.keptJob();
    const guard = new GuardFolder(fixture.directory(id));
    await guard.prepare({ files: [], commands: [], bootCommands: [], unit: null }, 60);
    await guard.arm();
    expect(await only()).toMatchObject({ hold: 'guarded' });
  });

  it('is held while another job takes it back', async () => {
    const id = await undoable();
    await beginUndo(id);
    const found = await keptJobs(fixture.state);
    expect(found.find((job) => job.id === id)).toMatchObject({ hold: 'being_undone' });
  });

  it('is never what a job says it is: links are not followed, unknown words not repeated', async () => {
    const id = await fixture.keptJob();
    const directory = fixture.directory(id);
    const spec = fixture.command(['true'], { action: '\u001B[2Jdone' });
    writeFileSync(join(directory, 'spec.json'), JSON.stringify(spec));
    symlinkSync('/usr', join(directory, 'usr'));
    const found = await only();
    expect(found.what).toBe(null);
    expect(found.bytes).toBeLessThan(1024 * 1024);
    await pruneJob(fixture.state, id);
    expect(existsSync('/usr/bin')).toBe(true);
  });

  it('counts as needed for an undo when the journal cannot be read', async () => {
    const id = await fixture.keptJob();
    writeFileSync(join(fixture.directory(id), 'journal'), 'nonsense');
    expect(await only()).toMatchObject({ outcome: null, isUndoable: true, hold: null });
  });
});

describe('removing what a job has left', () => {
  it('takes its folder and the word that admits its undo, and nothing of another job', async () => {
    const id = await undoable();
    const other = await fixture.keptJob();
    expect(await pruneJob(fixture.state, id)).toBe(true);
    expect(readdirSync(join(fixture.state, 'jobs'))).toEqual([other]);
    expect(existsSync(order(id))).toBe(false);
    const jobs = fixture.agent();
    await jobs.load();
    expect(jobs.recall(id)?.ended ?? null).toBe(null);
  });

  it('leaves everything as it is when an undo has begun', async () => {
    const id = await undoable();
    await beginUndo(id);
    expect(await pruneJob(fixture.state, id)).toBe(false);
    expect(existsSync(join(fixture.directory(id), 'backups/0'))).toBe(true);
    expect(existsSync(order(id))).toBe(true);
  });

  it('is ended later when it was killed in the middle, and no agent takes the rest for a job', async () => {
    const id = await undoable();
    renameSync(fixture.directory(id), fixture.directory(`pruned-${id}`));
    const jobs = fixture.agent();
    await jobs.load();
    expect(jobs.all()).toEqual([]);
    expect(await keptJobs(fixture.state)).toEqual([]);
    await finishPruning(fixture.state);
    expect(readdirSync(join(fixture.state, 'jobs'))).toEqual([]);
    expect(existsSync(order(id))).toBe(false);
  });
});
