import { createInterface } from 'node:readline/promises';
import type { AgentOptions } from '../config.ts';
import { locate } from '../config.ts';
import { keptJobs, type Hold, type KeptJob } from '../jobs/kept-jobs.ts';
import { finishPruning, pruneJob } from '../jobs/prune-job.ts';
import { describeError } from './describe-error.ts';
import { printJson, printLines } from './printing.ts';

export interface PruneOptions extends AgentOptions {
  /** Says on standard output what was removed, or would be. */
  json?: boolean;
  olderThan?: string;
  dryRun?: boolean;
  yes?: boolean;
}

const DEFAULT_AGE = '30d';
const HOUR_MS = 3_600_000;

const HOLDS: Record<Hold, string> = {
  running: 'it runs',
  not_reported: 'its end or its log has not reached the control plane',
  remembered: 'the control plane may still ask about it, for two days or until it has its end',
  guarded: 'its guardian has not ended',
  being_undone: 'another job takes its changes back',
};

/** What jobs have left on this server. */
export async function jobsCommand(options: AgentOptions & { json?: boolean }): Promise<number> {
  const jobs = await keptJobs(locate(options).stateDirectory);
  if (options.json === true) {
    printJson(jobs);
    return 0;
  }
  if (jobs.length === 0) {
    printLines(['No job has left anything.']);
    return 0;
  }
  const count = jobs.length === 1 ? '1 job' : `${jobs.length} jobs`;
  printLines([
    ...jobs.map(describe),
    `${count}, ${sum(jobs)}`,
    'Next: intervene-agent jobs prune --dry-run',
  ]);
  return 0;
}

/**
 * Removes what ended jobs have left: of the named ones, else of those that ended long enough ago. 1 when a
 * named one must stay or one could not be removed, 2 for an age that is none.
 */
export async function pruneCommand(
  names: readonly string[],
  options: PruneOptions,
): Promise<number> {
  const { stateDirectory } = locate(options);
  const minimumMs = ageOf(options.olderThan ?? DEFAULT_AGE);
  if (minimumMs === null) return complain('--older-than takes days or hours: 30d, 12h', 2);
  if (names.length > 0 && options.olderThan !== undefined) {
    return complain('name jobs, or say how old they must be: not both', 2);
  }
  if (options.dryRun !== true) await finishPruning(stateDirectory);
  const all = await keptJobs(stateDirectory);
  const refusals = names.flatMap((name) => refusalOf(name, all));
  if (refusals.length > 0) return complain(refusals.join('\n✗ '), 1);
  const chosen = all.filter(({ id, hold, since }) =>
    names.length > 0 ? names.includes(id) : hold === null && Date.now() - since >= minimumMs,
  );
  if (chosen.length === 0) {
    if (options.json === true) printJson([]);
    process.stderr.write('Nothing to remove: intervene-agent jobs lists what is there.\n');
    return 0;
  }
  const isText = options.json !== true;
  if (isText) printLines(chosen.map(describe));
  if (options.dryRun === true) {
    if (!isText) printJson(chosen);
    process.stderr.write(`Would free ${sum(chosen)}. Nothing was changed.\n`);
    return 0;
  }
  const undoable = chosen.filter(({ isUndoable }) => isUndoable);
  const isWanted = undoable.length === 0 || options.yes === true || (await mayLoseUndo(undoable));
  const wanted = isWanted ? chosen : chosen.filter(({ isUndoable }) => !isUndoable);
  const removed = await removeAll(stateDirectory, wanted);
  if (!isText) printJson(removed);
  const hasLeftNamed = names.length > 0 && wanted.length < chosen.length;
  return hasLeftNamed || removed.length < wanted.length ? 1 : 0;
}

/** Says of each that cannot be removed why, and returns the others. */
async function removeAll(stateDirectory: string, jobs: readonly KeptJob[]): Promise<KeptJob[]> {
  const gone: KeptJob[] = [];
  for (const job of jobs) {
    try {
      if (await pruneJob(stateDirectory, job.id)) gone.push(job);
      else complain(`${job.id} stays: ${HOLDS.being_undone}`, 1);
    } catch (error) {
      complain(`${job.id}: ${describeError(error)}`, 1);
    }
  }
  const count = gone.length === 1 ? '1 job' : `${gone.length} jobs`;
  process.stderr.write(`✓ Removed what ${count} had left: ${sum(gone)}.\n`);
  return gone;
}

async function mayLoseUndo(jobs: readonly KeptJob[]): Promise<boolean> {
  const what = jobs.length === 1 ? 'One of them holds' : `${jobs.length} of them hold`;
  process.stderr.write(
    `! ${what} what an undo needs: without it, what was changed stays changed.\n`,
  );
  if (!process.stdin.isTTY) {
    process.stderr.write('  Kept, as nobody can be asked here: --yes removes that, too.\n');
    return false;
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test(await terminal.question('Remove it, too? [y/N] '));
  } finally {
    terminal.close();
  }
}

function refusalOf(name: string, jobs: readonly KeptJob[]): string[] {
  const job = jobs.find(({ id }) => id === name);
  if (job === undefined) return [`${describeError(name)}: no such job has left anything here`];
  return job.hold === null ? [] : [`${job.id} stays: ${HOLDS[job.hold]}`];
}

/** Milliseconds; null for what is no age. */
function ageOf(text: string): number | null {
  const [, count, unit] = /^(\d{1,5})([dh])$/.exec(text) ?? [];
  return count === undefined ? null : Number(count) * (unit === 'd' ? 24 : 1) * HOUR_MS;
}

/** One line: what it was, for which ticket, when, how it ended, what it takes; the id is the control plane's, too. */
function describe({ id, what, outcome, since, bytes, isUndoable, hold }: KeptJob): string {
  const name = what === null ? 'unknown' : `${what.action} ${what.mode}`;
  const notes = [
    hold === null ? '' : HOLDS[hold],
    isUndoable && hold !== 'running' ? 'can be undone' : '',
  ].filter((note) => note !== '');
  return [
    id,
    name.padEnd(28),
    (what?.ticket ?? '-').padEnd(10),
    new Date(since).toISOString().replace(/:\d\d\.\d{3}Z$/, 'Z'),
    (outcome ?? '-').padEnd(11),
    sizeOf(bytes).padStart(9),
    notes.join('; '),
  ]
    .join('  ')
    .trimEnd();
}

function sum(jobs: readonly KeptJob[]): string {
  return sizeOf(jobs.reduce((total, { bytes }) => total + bytes, 0));
}

function sizeOf(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const at = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${at === 0 ? bytes : (bytes / 1024 ** at).toFixed(1)} ${units[at]}`;
}

function complain(text: string, status: number): number {
  printLines(
    text.split('\n').map((line, at) => (at === 0 ? `✗ ${line}` : line)),
    'stderr',
  );
  return status;
}
