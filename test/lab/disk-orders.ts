import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { JournalReader } from '../../agent/jobs/journal-reader.ts';
import type { JournalRecord } from '../../agent/jobs/journal-record.ts';
import { runnerFile } from '../../agent/jobs/runner-record.ts';
import type { DiagnosticsResult, Finding } from '../../proto/actions/diagnostics.ts';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import type { Finished } from '../harness/process.ts';
import type { Stack } from '../harness/stack.ts';
import type { JobView } from '../harness/stack-people.ts';

export type Parameters = Record<string, JsonValue>;

export interface Made {
  plan: Plan;
  digest: string;
}

export interface Ended {
  job: string;
  status: number | null;
  reason: string | null;
  result: Record<string, JsonValue> | null;
  /** The last lines of what was printed, for the day a test fails. */
  said: string;
}

/** What an engineer orders for a disk, by the command line. */
export class DiskOrders {
  private readonly stack: Stack;
  private readonly image: string;

  constructor(stack: Stack, image: string) {
    this.stack = stack;
    this.image = image;
  }

  async diagnose(): Promise<Finding[]> {
    const words = ['diagnose', 'web-04', '--disk', this.image];
    const job = await this.stack.json<{ result: DiagnosticsResult }>('lead', ...words);
    return job.result.findings;
  }

  async plan(action: string, parameters: Parameters): Promise<Made> {
    const words = ['plan', 'web-04', action, '--disk', this.image, ...given(parameters)];
    const done = await this.stack.cli('lead', '--json', ...words);
    if (done.status !== 0) throw new Error(`the plan failed:\n${done.stderr}${done.stdout}`);
    const { plan, planDigest } = JSON.parse(done.stdout) as { plan: Plan; planDigest: string };
    return { plan, digest: planDigest };
  }

  async apply({ plan, digest }: Made): Promise<Ended> {
    return endOf(await this.stack.cli('lead', '--json', ...this.applyWords(plan, digest)));
  }

  async undo(job: string): Promise<Ended> {
    return endOf(await this.stack.cli('lead', '--json', 'jobs', 'undo', job, '--yes'));
  }

  /** Applies a plan whose runner is killed (kill -9) right after it wrote this many records of its steps. */
  async applyKilled({ plan, digest }: Made, records: number): Promise<JobView> {
    const words = this.applyWords(plan, digest);
    const { id } = await this.stack.json<{ id: string }>('lead', ...words, '--detach');
    const folder = path.join(this.stack.state, 'jobs', id);
    const journal = new JournalReader(folder);
    const isThere = () => {
      if (existsSync(folder)) journal.refresh();
      return journal.ended !== null || stepsIn(journal.records) >= records;
    };
    while (!isThere()) await nextTurn();
    if (journal.ended === null) process.kill(runnerOf(folder), 'SIGKILL');
    return this.stack.ended(id);
  }

  /** How many records of steps the journal of a job has. */
  stepRecords(job: string): number {
    const journal = new JournalReader(path.join(this.stack.state, 'jobs', job));
    journal.refresh();
    return stepsIn(journal.records);
  }

  private applyWords(plan: Plan, digest: string): string[] {
    const words = ['run', 'web-04', plan.action, '--disk', this.image];
    return [...words, '--plan', digest, '--yes'];
  }
}

function stepsIn(records: readonly JournalRecord[]): number {
  return records.filter(({ type }) => type.startsWith('step_')).length;
}

function runnerOf(folder: string): number {
  const record = readFileSync(runnerFile(folder), 'utf8');
  return (JSON.parse(record.slice(record.indexOf('{'))) as Record<string, number>)['child-pid']!;
}

function given(parameters: Parameters): string[] {
  return Object.entries(parameters).flatMap(([name, value]) => [
    '--param',
    `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
}

function endOf(done: Finished): Ended {
  const said = `${done.stdout}${done.stderr}`.slice(-3000);
  const lines = done.stdout.split('\n').filter((line) => line.startsWith('{'));
  const last = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .findLast(({ type }) => type === 'result');
  if (last === undefined) throw new Error(`no result:\n${said}`);
  return {
    job: last['job'] as string,
    status: done.status,
    reason: last['reason'] as string | null,
    result: last['result'] as Ended['result'],
    said,
  };
}
