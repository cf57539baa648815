import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { guardPhases } from '../../../proto/actions/job.ts';
import {
  GUARDIAN,
  GuardFolder,
  type GuardDecision,
  type GuardEnd,
} from '../../guard/guard-folder.ts';
import type { CommandOptions, CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext, type SavedBackup } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { prepareChange, type PreparedChange } from '../files/change-files.ts';
import type { PlannedFileChange } from '../files/plan-file-change.ts';
import { guardSteps } from './guard-steps.ts';
import { guardUnitName, isSystemdRunning, startGuardUnit, writeGuardUnit } from './guard-unit.ts';
import { dropOldFiles, guardedFiles, layOldFiles } from './old-files.ts';

const WATCHED_WITHIN_MS = 20_000;
const LOOK_MS = 200;
/** A guardian that has not begun its work by then was killed, and so was what should start another. */
const LATE_MS = 8_000;
const DONE_WITHIN_MS = 90_000;
const TIME_TO_END_S = 5;

export interface GuardedWork {
  root: TargetRoot;
  /** Folder for the backups of the job. */
  backups: string;
  /** Files that will change, in this order. */
  files: readonly PlannedFileChange[];
  /** Saved beside the files: what else the undo of the job needs. */
  alsoSave: () => Promise<SavedBackup[]>;
  /** Run, in this order, when the files are back; each may be run twice, and without having been needed. */
  commands: readonly (readonly string[])[];
  /** After a reboot, before any network is set up. */
  bootCommands: readonly (readonly string[])[];
  withinSeconds: number;
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
  change: (prepared: readonly PreparedChange[], run: ChangingRun) => Promise<void>,
): Promise<GuardedOutcome> {
  const guard = new GuardFolder(context.directory);
  const prepared: PreparedChange[] = [];
  await context.step(guardSteps.guard, async (saved) => {
    for (const [index, file] of work.files.entries()) {
      const place = { folder: work.backups, index };
      prepared.push(
        await prepareChange(context, work.root, file.change, file.precondition.digest, place),
      );
    }
    const more = await work.alsoSave();
    await saved([...prepared.flatMap(({ backups }) => backups), ...more]);
    await arm(context, guard, work, prepared);
  });
  let error: Error | null = null;
  try {
    await change(prepared, runInTime(context, guard));
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

function runInTime(context: ActionContext, guard: GuardFolder): ChangingRun {
  return async (argv, options) => {
    const timeoutMs = requireTime(guard) * 1000;
    return context.run(argv, { ...options, timeoutMs, signal: context.signal });
  };
}

/** Throws ActionError `guard_unavailable`, and leaves nothing behind, where nobody watches. */
async function arm(
  context: ActionContext,
  guard: GuardFolder,
  work: GuardedWork,
  prepared: readonly PreparedChange[],
): Promise<void> {
  const { job } = context.spec;
  const hasSystemd = await isSystemdRunning();
  try {
    await guard.prepare(
      {
        files: await guardedFiles(work.root, prepared),
        commands: work.commands,
        bootCommands: work.bootCommands,
        unit: hasSystemd ? guardUnitName(job) : null,
      },
      work.withinSeconds,
    );
    await layOldFiles(context, work.root, work.backups, prepared);
    if (hasSystemd) await writeGuardUnit(context, job, guard.path);
    await guard.arm();
  } catch (error) {
    await dropOldFiles(work.root, prepared);
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

/** The runner does the guardian's work where no other is there to do it. */
async function waitForEnd(context: ActionContext, guard: GuardFolder): Promise<GuardEnd | null> {
  const begin = performance.now();
  let hasHelped = false;
  while (guard.end === null && performance.now() - begin < DONE_WITHIN_MS) {
    if (!hasHelped && performance.now() - begin > LATE_MS) {
      hasHelped = true;
      await context.run(['/bin/sh', join(guard.path, GUARDIAN)]).catch(() => undefined);
    }
    await sleep(LOOK_MS);
  }
  return guard.end;
}
