import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { guardPhases } from '../../../proto/actions/job.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import {
  GUARDIAN,
  GuardFolder,
  type GuardDecision,
  type GuardEnd,
} from '../../guard/guard-folder.ts';
import type { CommandOptions, CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import {
  prepareChangeSteps,
  type PlannedSteps,
  type PreparedSteps,
} from '../files/change-steps.ts';
import { guardSteps } from './guard-steps.ts';
import { guardUnitName, isSystemdRunning, startGuardUnit, writeGuardUnit } from './guard-unit.ts';
import { dropOldFiles, guardedFiles, layOldFiles } from './old-files.ts';

const WATCHED_WITHIN_MS = 20_000;
const LOOK_MS = 200;
/** A guardian that has not begun its work by then was killed, and so was what should start another. */
const LATE_MS = 8_000;
const HELP_AFTER_MS = 1_500;
const DONE_WITHIN_MS = 90_000;
const TIME_TO_END_S = 5;

export interface GuardedWork {
  root: TargetRoot;
  /** Folder for the backups of the job. */
  backups: string;
  /** Changes of files and links; each of its steps may be called for by `change`. */
  files: PlannedSteps;
  agreed: Plan['preconditions'];
  /** Saved beside the files: what else the undo of the job needs. */
  alsoSave: () => Promise<SavedBackup[]>;
  /** Run, in this order, when the files are back; each may be run twice, and without having been needed. */
  commands: readonly (readonly string[])[];
  /** After a reboot, before any network is set up. */
  bootCommands: readonly (readonly string[])[];
  withinSeconds: number;
}

/** What a guarded change is made with. */
export interface GuardedChange {
  /** Makes the changes of files, step by step. */
  changeFiles: () => Promise<void>;
  run: ChangingRun;
}

/** `context.run`, ended before the guardian begins. */
export type ChangingRun = (
  argv: readonly string[],
  options?: Omit<CommandOptions, 'timeoutMs' | 'signal'>,
) => Promise<CommandResult>;

export interface GuardedOutcome {
  decision: GuardDecision;
  /** Null when no guardian could be found that did its work. */
  end: GuardEnd | null;
  /** What made the action take its change back; null when a decision was waited for. */
  error: Error | null;
}

/**
 * Makes a change that could cut the server off, under a guardian: everything that puts it back is on disk and watched
 * over before `change` begins. Afterwards waits for the confirmation; without it, or when `change` throws or the job is
 * told to stop, everything has been put back when this resolves. Throws only before anything was changed.
 */
export async function withGuard(
  context: ActionContext,
  work: GuardedWork,
  change: (work: GuardedChange) => Promise<void>,
): Promise<GuardedOutcome> {
  const guard = new GuardFolder(context.directory);
  let files: PreparedSteps | null = null;
  await context.step(guardSteps.guard, async (saved) => {
    files = await prepareChangeSteps(work.files, work.agreed, work.backups);
    const more = await work.alsoSave();
    await saved([...files.flatMap(({ backups }) => backups), ...more]);
    await arm(context, guard, work);
  });
  let error: Error | null = null;
  try {
    const changeFiles = () => makeFiles(context, guard, files!);
    await change({ changeFiles, run: runInTime(context, guard) });
    requireTime(guard);
    await guard.markChanged();
    await context.step(guardSteps.confirm, async (saved) => {
      await saved([]);
      await waitForDecision(context, guard);
    });
  } catch (thrown) {
    error = thrown as Error;
    context.note(`${error.message} Everything is taken back.`);
    await guard.decide('rolled_back');
  }
  const decision = guard.decision!;
  if (decision === 'kept') error = null;
  return { decision, end: await waitForEnd(context, guard), error };
}

/** What is left of the time must suffice to end a change; nobody may go on while the guardian is at work. */
function requireTime(guard: GuardFolder): number {
  const left = guard.secondsLeft - TIME_TO_END_S;
  if (left > 0 && guard.decision === null) return left;
  throw new ActionError('change_too_slow', 'the change took too long to be confirmed in time');
}

async function makeFiles(
  context: ActionContext,
  guard: GuardFolder,
  files: PreparedSteps,
): Promise<void> {
  for (const { step, makes } of files) {
    await context.step({ ...step, interrupt: 'rollback' }, async (saved) => {
      await saved([]);
      for (const make of makes) {
        requireTime(guard);
        await make();
      }
    });
  }
}

function runInTime(context: ActionContext, guard: GuardFolder): ChangingRun {
  return async (argv, options) => {
    const timeoutMs = requireTime(guard) * 1000;
    return context.run(argv, { ...options, timeoutMs, signal: context.signal });
  };
}

/** Throws ActionError `guard_unavailable`, and leaves nothing behind, where nobody watches. */
async function arm(context: ActionContext, guard: GuardFolder, work: GuardedWork): Promise<void> {
  const { job } = context.spec;
  const hasSystemd = await isSystemdRunning();
  try {
    await guard.prepare(
      {
        files: await guardedFiles(context, work.root, work.backups),
        commands: work.commands,
        bootCommands: work.bootCommands,
        unit: hasSystemd ? guardUnitName(job) : null,
      },
      work.withinSeconds,
    );
    await layOldFiles(context, work.root, work.backups);
    if (hasSystemd) await writeGuardUnit(context, job, guard.path);
    await guard.arm();
  } catch (error) {
    await dropOldFiles(context, work.root, work.backups);
    await guard.drop();
    throw error;
  }
  // Whoever listens to the job looks after its guard, too.
  context.progress('guard', null, 'a guardian is started');
  if (hasSystemd) await startGuardUnit(context, job);
  for (const until = performance.now() + WATCHED_WITHIN_MS; !guard.isWatched;) {
    if (performance.now() > until) {
      await guard.decide('rolled_back');
      await waitForEnd(context, guard);
      throw new ActionError(
        'guard_unavailable',
        'nothing could be started that takes the change back by itself; nothing was changed',
      );
    }
    await sleep(LOOK_MS);
  }
}

/** Resolves when it is decided, by whomever; throws when the job is told to stop. */
async function waitForDecision(context: ActionContext, guard: GuardFolder): Promise<void> {
  let lateSince: number | null = null;
  while (guard.decision === null) {
    context.signal.throwIfAborted();
    const left = Math.ceil(guard.secondsLeft);
    const phase = guard.isReached ? guardPhases.confirm : guardPhases.unreached;
    const text = guard.isReached
      ? `the control plane is reached again; waiting for confirmation, ${left} s left`
      : `waiting for the control plane to be reached again, ${left} s left`;
    context.progress(phase, null, text);
    if (left === 0) lateSince ??= performance.now();
    if (lateSince !== null && performance.now() - lateSince > LATE_MS) {
      await guard.decide('rolled_back');
    }
    await sleep(LOOK_MS);
  }
}

/** The runner does the guardian's work where no other is there to do it; else its own one leaves at once. */
async function waitForEnd(context: ActionContext, guard: GuardFolder): Promise<GuardEnd | null> {
  const begin = performance.now();
  let helpAfter = HELP_AFTER_MS;
  while (guard.end === null && performance.now() - begin < DONE_WITHIN_MS) {
    if (performance.now() - begin > helpAfter) {
      helpAfter += LATE_MS;
      await context.run(['/bin/sh', join(guard.path, GUARDIAN)]).catch(() => undefined);
    }
    await sleep(LOOK_MS);
  }
  return guard.end;
}
