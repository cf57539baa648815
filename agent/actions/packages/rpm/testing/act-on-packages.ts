import { appendFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Plan } from '../../../../../proto/documents/kinds/plan.ts';
import type { JobSpec } from '../../../../jobs/job-spec.ts';
import type { JournalRecord } from '../../../../jobs/journal-record.ts';
import { ActionError, type ActionContext } from '../../../../runner/action.ts';
import { fileContext } from '../../../files/testing/file-context.ts';
import { loadImplementation } from '../../../implementations.ts';

// Plans, applies or undoes an action on the system it runs on, with a journal, but without sandbox, control plane
// and runner. Reads what to do from its standard input, and prints what became of it.

/** What a test asks of this program. */
export interface Act {
  mode: 'plan' | 'apply' | 'undo';
  action: string;
  job: string;
  parameters: JobSpec['parameters'];
  plan: Plan | null;
  undoes: string | null;
}

/** Where jobs lie in the system of a test. */
const JOBS = '/var/lib/acts';

const act = JSON.parse(await text(process.stdin)) as Act;
const directory = join(JOBS, act.job);
mkdirSync(directory, { recursive: true });
const journal = join(directory, 'journal');
const write = (record: object) => appendFileSync(journal, `${JSON.stringify(record)}\n`);
const notes: string[] = [];
const progress: string[] = [];
const { run, spec } = fileContext(directory, act.job);

const context: ActionContext = {
  spec: { ...spec, parameters: act.parameters, agentMode: 'resident', target: null },
  sealedInputs: {},
  directory,
  undone: act.undoes === null ? null : undone(act.undoes),
  note: (line) => void notes.push(line),
  progress: (phase, percent, line) => void progress.push(`${phase} ${percent ?? '?'} ${line}`),
  sealOutput: () => Promise.reject(new Error('packages have no secrets')),
  run,
  step: async ({ id }, body) => {
    write({ type: 'step_started', step: id });
    await body((backups) => {
      write({ type: 'step_saved', step: id, backups });
      return Promise.resolve();
    });
    write({ type: 'step_ended', step: id });
  },
  signal: new AbortController().signal,
};

function undone(job: string): ActionContext['undone'] {
  const folder = join(JOBS, job);
  const lines = readFileSync(join(folder, 'journal'), 'utf8').trim().split('\n');
  return { directory: folder, records: lines.map((line) => JSON.parse(line) as JournalRecord) };
}

async function carryOut(): Promise<object> {
  const action = (await loadImplementation(act.action))!;
  if (act.mode === 'plan') return { plan: await action.plan!(context) };
  const end = await (act.mode === 'apply'
    ? action.apply(context, act.plan)
    : action.undo!(context));
  return { end };
}

const done = await carryOut().catch((error: unknown) => {
  if (!(error instanceof ActionError)) throw error;
  return { refused: { reason: error.reason, message: error.message } };
});
process.stdout.write(JSON.stringify({ ...done, notes, progress }));
process.exit(0);
