import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { Job, Jobs } from '../../jobs/job.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import { JobsFixture, output } from '../../jobs/jobs-fixture.ts';
import type { ScriptedStep } from './scripted-step.ts';

const PRINTED_WITHIN_MS = 30_000;

/** Jobs whose steps are scripts, and a file that these write to in place of a disk. */
export class ScriptedJobs {
  readonly fixture: JobsFixture;
  readonly jobs: Jobs;
  readonly folder: string;
  readonly device: string;

  private constructor(fixture: JobsFixture, jobs: Jobs, folder: string) {
    this.fixture = fixture;
    this.jobs = jobs;
    this.folder = folder;
    this.device = join(folder, 'disk.img');
  }

  static async create(content: string): Promise<ScriptedJobs> {
    const runnerEntry = join(import.meta.dirname, 'scripted-runner.ts');
    const fixture = await JobsFixture.create({ runnerEntry });
    const jobs = fixture.agent();
    await jobs.load();
    const its = new ScriptedJobs(fixture, jobs, mkdtempSync(join(tmpdir(), 'ivd-')));
    writeFileSync(its.device, content);
    return its;
  }

  async close(): Promise<void> {
    await this.fixture.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  content(): string {
    return readFileSync(this.device, 'utf8');
  }

  spec(script: readonly ScriptedStep[], change: Partial<JobSpec> = {}): JobSpec {
    const parameters = { device: this.device, script: script as unknown as JsonValue };
    return this.fixture.spec({ action: 'filesystem.repair', parameters, ...change });
  }

  start(script: readonly ScriptedStep[], change: Partial<JobSpec> = {}): Promise<Job> {
    return this.jobs.start(this.spec(script, change), {});
  }
}

/** What a job's journal says of its steps, as `TYPE STEP`. */
export function stepsOf(job: Job): string[] {
  return job
    .records(0)
    .flatMap((record) => ('step' in record ? [`${record.type} ${record.step}`] : []));
}

export async function printed(job: Job, text: string): Promise<void> {
  await vi.waitFor(async () => expect((await output(job)).toString()).toContain(text), {
    timeout: PRINTED_WITHIN_MS,
  });
}
