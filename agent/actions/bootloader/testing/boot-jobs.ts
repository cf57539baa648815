import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { FileRepairResult } from '../../../../proto/actions/file-repair-result.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { imageDigest, type FaultDisk } from '../../../../test/lab/index.ts';
import { PLAN_FILE } from '../../../jobs/control-messages.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { Jobs } from '../../../jobs/job.ts';
import { ended, JobsFixture, output } from '../../../jobs/jobs-fixture.ts';

/** Jobs of bootloader.repair on one disk, as an agent carries them out. */
export class BootJobs {
  readonly disk: FaultDisk;
  private readonly fixture: JobsFixture;
  private readonly jobs: Jobs;

  private constructor(disk: FaultDisk, fixture: JobsFixture, jobs: Jobs) {
    this.disk = disk;
    this.fixture = fixture;
    this.jobs = jobs;
  }

  static async on(disk: FaultDisk): Promise<BootJobs> {
    const fixture = await JobsFixture.create();
    const jobs = fixture.agent();
    await jobs.load();
    return new BootJobs(disk, fixture, jobs);
  }

  async close(): Promise<void> {
    await this.fixture.close();
    this.disk.close();
  }

  async order(change: Partial<JobSpec>) {
    const spec = {
      action: 'bootloader.repair',
      target: { disk: this.disk.image },
      parameters: {},
      maxRuntimeSeconds: 900,
      ...change,
    };
    const job = await this.jobs.start(this.fixture.spec(spec), {});
    const { outcome, reason, result } = await ended(job);
    const said = (await output(job, 'note')).toString() + (await output(job, 'err')).toString();
    const repair = result as unknown as FileRepairResult | null;
    return { id: job.id, outcome, reason, said, result: repair };
  }

  /** A plan that could be made, its bytes and what it says; no byte of the disk has changed by it. */
  async plan(parameters: JobSpec['parameters'] = {}) {
    const before = await imageDigest(this.disk.image);
    const job = await this.order({ mode: 'plan', parameters });
    expect([job.outcome, job.reason], job.said).toEqual(['succeeded', null]);
    expect(await imageDigest(this.disk.image)).toBe(before);
    return this.planOf(job);
  }

  /** What a job has planned. */
  async planOf({ id: job }: { id: string }) {
    const bytes = await readFile(join(this.fixture.directory(job), PLAN_FILE));
    const plan = JSON.parse(bytes.toString('utf8')) as Plan;
    return { bytes: bytes.toString('base64'), plan, steps: plan.steps.map(({ id }) => id) };
  }

  /** Plans and repairs; the second plan has nothing to do. Returns the job, and the plan that it carried out. */
  async repair(steps: readonly string[], parameters: JobSpec['parameters'] = {}) {
    const planned = await this.plan(parameters);
    expect(planned.steps).toEqual(['save', ...steps, 'verify']);
    const done = await this.order({ plan: planned.bytes, parameters });
    expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'repaired']);
    expect((await this.plan(parameters)).steps).toEqual([]);
    return { ...done, plan: planned.plan };
  }

  async undo(id: string) {
    const undone = await this.order({ mode: 'undo', undoes: id });
    expect([undone.reason, undone.result?.outcome], undone.said).toEqual([null, 'restored']);
  }
}
