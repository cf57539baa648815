import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonValue } from '../../proto/documents/fields.ts';
import { RecordDecoder, type LogRecord } from '../../proto/spool/record.ts';
import { createJobFolder, writeReceived } from './job-folder.ts';
import type { JobSpec } from './job-spec.ts';
import type { EndedRecord } from './journal-record.ts';
import type { Job, Jobs } from './job.ts';
import { createJobs, type JobsOptions } from './jobs.ts';
import { JournalWriter } from './journal-writer.ts';

const repository = join(import.meta.dirname, '..', '..');
let counter = 0;

/** A state folder with agents on it, one after the other, as they would follow each other on a server. */
export class JobsFixture {
  readonly state: string;
  readonly warnings: string[] = [];
  private readonly agents: Jobs[] = [];
  private readonly options: Partial<JobsOptions>;

  private constructor(state: string, options: Partial<JobsOptions>) {
    this.state = state;
    this.options = options;
  }

  static async create(options: Partial<JobsOptions> = {}): Promise<JobsFixture> {
    const state = await realpath(await mkdtemp(join(tmpdir(), 'ivj-')));
    return new JobsFixture(state, options);
  }

  agent(options: Partial<JobsOptions> = {}): Jobs {
    const jobs = createJobs({
      stateDirectory: this.state,
      programDirectory: repository,
      protectedPaths: [],
      log: { warn: (_fields, message) => void this.warnings.push(message) },
      ...this.options,
      ...options,
    });
    this.agents.push(jobs);
    return jobs;
  }

  spec(change: Partial<JobSpec> & { parameters: Record<string, JsonValue> }): JobSpec {
    return {
      job: jobId(),
      server: '0b8f9c3e-52f1-4c55-8a39-6f0d5a1c7e21',
      action: 'command.run',
      actionVersion: 1,
      mode: 'apply',
      target: null,
      plan: null,
      undoes: null,
      agentMode: 'resident',
      maxRuntimeSeconds: 60,
      onDisconnect: 'finish',
      spoolCapBytes: 64 * 1024 * 1024,
      ...change,
    };
  }

  command(argv: string[], change: Partial<JobSpec> = {}): JobSpec {
    return this.spec({ parameters: { argv }, ...change });
  }

  shell(script: string, change: Partial<JobSpec> = {}): JobSpec {
    return this.command(['sh', '-c', script], change);
  }

  /** What is kept of a job whose end was told; `saved` are files that its undo needs. */
  async keptJob(
    change: { endedAt?: number; saved?: readonly string[]; ticket?: string } = {},
  ): Promise<string> {
    const { endedAt: at = Date.now(), saved = [], ticket } = change;
    const spec = this.command(['true'], { ...(ticket !== undefined && { ticket }) });
    const directory = this.directory(spec.job);
    await mkdir(join(this.state, 'jobs'), { recursive: true });
    await createJobFolder(directory);
    await writeReceived(directory, spec);
    const journal = JournalWriter.open(directory);
    const digest = `sha256:${'0'.repeat(64)}`;
    journal.append({ type: 'started', at });
    if (saved.length > 0) {
      const backups = saved.map((path) => ({ path, bytes: 1, digest }));
      journal.append({ type: 'step_saved', at, step: 'one', backups });
    }
    const log = { bytes: 0, lines: 0, digest, gaps: [] };
    const end = { outcome: 'succeeded', reason: null, exitStatus: 0, result: null, log } as const;
    journal.append({ type: 'ended', at, ...end });
    journal.close();
    const jobs = this.agent();
    await jobs.load();
    await jobs.release(spec.job);
    return spec.job;
  }

  directory(job: string): string {
    return join(this.state, 'jobs', job);
  }

  /** What is recorded of the runner of a job, or of a spare. */
  runnerRecord(name: string): string {
    return readFileSync(join(this.state, 'runners', name), 'utf8');
  }

  runnerPid(name: string): number {
    const record = this.runnerRecord(name);
    return (JSON.parse(record.slice(record.indexOf('{'))) as Record<string, number>)['child-pid']!;
  }

  /** Ends every runner and removes the folder. */
  async close(): Promise<void> {
    for (const jobs of this.agents) await jobs.close();
    const last = this.agent();
    await last.load();
    await last.killAll('killed');
    await last.close();
    await rm(this.state, { recursive: true, force: true });
  }
}

/** A UUID of version 7. */
export function jobId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  const random = crypto.randomUUID().slice(19);
  const count = (counter++ % 0x1000).toString(16).padStart(3, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${count}-${random}`;
}

/** Waits until the condition holds; it is asked whenever the job changes. */
export async function until(job: Job, condition: () => boolean): Promise<void> {
  if (condition()) return;
  await new Promise<void>((resolve) => {
    const stop = job.onChange(() => {
      if (!condition()) return;
      stop();
      resolve();
    });
  });
}

export async function ended(job: Job): Promise<EndedRecord> {
  await until(job, () => job.ended !== null);
  return job.ended!;
}

export async function readWholeLog(job: Job, maxBytes = 16 * 1024): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let offset = 0; ;) {
    const chunk = await job.readLog(offset, maxBytes);
    if (chunk.length === 0) return Buffer.concat(chunks);
    chunks.push(chunk);
    offset += chunk.length;
  }
}

export function decodeLog(bytes: Buffer): LogRecord[] {
  return [...new RecordDecoder().push(bytes)];
}

/** What a job printed on one channel. */
export async function output(job: Job, channel: LogRecord['channel'] = 'out'): Promise<Buffer> {
  const records = decodeLog(await readWholeLog(job));
  return Buffer.concat(
    records.filter((record) => record.channel === channel).map((record) => record.payload),
  );
}
