import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonValue } from '../../proto/documents/fields.ts';
import { planSchema, type Plan } from '../../proto/documents/kinds/plan.ts';
import { PLAN_FILE } from './control-messages.ts';
import type { Job, Jobs } from './job.ts';
import type { JobSpec } from './job-spec.ts';
import { ended, JobsFixture, output } from './jobs-fixture.ts';

/** How one job on the disk ended. */
export interface Done {
  job: string;
  outcome: string;
  reason: string | null;
  result: Record<string, JsonValue>;
  /** All of its log. */
  said: string;
}

/** Real, sandboxed jobs on one disk, as an agent carries them out. */
export class DiskJobs {
  readonly fixture: JobsFixture;
  private readonly jobs: Jobs;
  private readonly orders: Partial<JobSpec>;

  private constructor(fixture: JobsFixture, jobs: Jobs, orders: Partial<JobSpec>) {
    this.fixture = fixture;
    this.jobs = jobs;
    this.orders = orders;
  }

  /**
   * @param disk path of the device or image
   * @param orders what every order says
   */
  static async on(disk: string, orders: Partial<JobSpec> = {}): Promise<DiskJobs> {
    const fixture = await JobsFixture.create();
    const jobs = fixture.agent();
    await jobs.load();
    return new DiskJobs(fixture, jobs, { target: { disk }, ...orders });
  }

  close(): Promise<void> {
    return this.fixture.close();
  }

  start(change: Partial<JobSpec>): Promise<Job> {
    return this.jobs.start(this.fixture.spec({ parameters: {}, ...this.orders, ...change }), {});
  }

  async finish(job: Job): Promise<Done> {
    const { outcome, reason, result } = await ended(job);
    const channels = ['note', 'out', 'err'] as const;
    const said = (await Promise.all(channels.map((channel) => output(job, channel)))).join('\n');
    return { job: job.id, outcome, reason, result: (result ?? {}) as Done['result'], said };
  }

  async order(change: Partial<JobSpec>): Promise<Done> {
    return this.finish(await this.start(change));
  }

  /** Makes a plan; throws what the job said when there is none. */
  async plan(change: Partial<JobSpec> = {}): Promise<{ plan: Plan; bytes: string }> {
    const done = await this.order({ mode: 'plan', ...change });
    if (done.outcome !== 'succeeded') throw new Error(`${done.reason}: ${done.said}`);
    const bytes = await readFile(join(this.fixture.directory(done.job), PLAN_FILE));
    const plan = planSchema.parse(JSON.parse(bytes.toString()) as unknown);
    return { plan, bytes: bytes.toString('base64') };
  }
}
