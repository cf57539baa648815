import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { commandText } from '../../../proto/documents/command-text.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { GUARD_FOLDER, helperCommand } from '../../guard/guard-folder.ts';
import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
  type SavedBackup,
} from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { applyChangeSteps, takeBackChanges, type PlannedSteps } from '../files/change-steps.ts';
import { putBackUnlessStopped } from '../files/put-back.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { findSavedBackups } from '../files/saved-backups.ts';
import { checkBackupPlace, makeBackupFolder } from '../filesystem/backup-place.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { requireSamePlan } from '../same-plan.ts';
import {
  guardedPlan,
  type FoundRepair,
  type GuardedRepair,
  type LiveCommand,
  type RepairEnd,
} from './guarded-repair.ts';
import { withGuard, type ChangingRun, type GuardedOutcome } from './with-guard.ts';

/** What an undo needs besides the files: how each command is taken back, whether it was made or a boot makes it. */
const REMOVALS = 'removals.json';
/** More than the plan's own: records of what is saved. */
const RECORD_BYTES = 64 * 1024;

/**
 * An action that repairs files and what holds now. Files alone cut nobody off; with a change of what holds now, all of
 * it is made under a guardian that takes it back unless it is confirmed.
 */
export function guardedRepair(repair: GuardedRepair): ActionImplementation {
  return {
    plan: (context) =>
      withRepairTarget(context, { write: false }, async (target) => {
        const found = await repair.find(context, target);
        const { body, planned } = await guardedPlan(context, target, repair, found);
        await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
        return body;
      }),
    apply: (context, plan) =>
      withRepairTarget(context, { write: true }, (target) => apply(context, target, repair, plan)),
    undo: (context) =>
      withRepairTarget(context, { write: true }, (target) => undo(context, target, repair)),
  };
}

async function apply(
  context: ActionContext,
  target: Target,
  repair: GuardedRepair,
  plan: Plan | null,
): Promise<ActionResult> {
  const found = await repair.find(context, target);
  const { body, planned } = await guardedPlan(context, target, repair, found);
  const { preconditions } = requireSamePlan(plan, body);
  const work = { context, target, repair, found, planned };
  if (body.steps.length === 0) return end(work, 'nothing_to_do', body.summary, null);
  const folder = await makeBackupFolder(context);
  return found.commands.length === 0
    ? changeFiles(work, preconditions, folder)
    : changeGuarded(work, preconditions, folder);
}

interface Work {
  context: ActionContext;
  target: Target;
  repair: GuardedRepair;
  found: FoundRepair;
  planned: PlannedSteps;
}

async function changeFiles(
  work: Work,
  agreed: Plan['preconditions'],
  folder: string,
): Promise<ActionResult> {
  const { context, target, repair, found, planned } = work;
  try {
    await saveRemovals(found, folder);
    await applyChangeSteps(context, planned, agreed, folder);
    await verify(work);
  } catch (error) {
    const { detail, reason } = await putBackUnlessStopped(context, target, folder, error);
    return end(work, 'rolled_back', detail, reason);
  }
  return end(work, 'done', await repair.doneText(context, target), null);
}

async function changeGuarded(
  work: Work,
  agreed: Plan['preconditions'],
  backups: string,
): Promise<ActionResult> {
  const { context, target, repair, found, planned } = work;
  const guardFolder = join(context.directory, GUARD_FOLDER);
  const outcome = await withGuard(
    context,
    {
      root: target.root,
      backups,
      files: planned,
      agreed,
      alsoSave: async () => [await saveRemovals(found, backups)],
      commands: found.commands
        .toReversed()
        .map(({ takeBack }) => helperCommand(takeBack, (name) => join(guardFolder, name))),
      // A boot starts with what the files say.
      bootCommands: [],
      withinSeconds: found.confirmWithinSeconds,
    },
    async (change) => {
      await makeHold(work, change.run);
      await change.changeFiles();
      await verify(work);
    },
  );
  const done = await repair.doneText(context, target);
  const { detail, reason } = guardedText(outcome, await isAsBefore(work, outcome), done);
  return end(work, outcome.decision === 'kept' ? 'done' : 'rolled_back', detail, reason);
}

async function makeHold({ context, repair, found }: Work, run: ChangingRun): Promise<void> {
  const { id, description } = repair.live;
  await context.step({ id, description, interrupt: 'rollback' }, async (saved) => {
    await saved([]);
    for (const { make } of found.commands) {
      const done = await run(make, { output: 'both' });
      if (done.exitStatus === 0) continue;
      throw new ActionError('command_failed', `${commandText(make)}: ${done.err.trim()}`);
    }
  });
}

async function verify({ context, target, repair }: Work): Promise<void> {
  const { id, description } = repair.verify;
  await context.step({ id, description, interrupt: 'finish' }, async (saved) => {
    await saved([]);
    const fault = await repair.findFault(context, target);
    if (fault !== null) throw new ActionError('verify_failed', fault);
  });
}

function saveRemovals({ commands, removals }: FoundRepair, folder: string): Promise<SavedBackup> {
  const all = [...commands.map(({ takeBack }: LiveCommand) => takeBack), ...removals];
  return writeBackup(join(folder, REMOVALS), JSON.stringify(all));
}

/** Whether as much is lacking now as was before the change, whatever the guardian's commands ended with. */
async function isAsBefore(
  { context, target, repair, found }: Work,
  { decision, end: last }: GuardedOutcome,
): Promise<boolean> {
  if (decision === 'kept' || last?.areFilesBack !== true) return false;
  const now = await repair.find(context, target).catch(() => null);
  return now !== null && now.commands.length >= found.commands.length;
}

/** How a guarded change ended, for people, and the reason code of a job that failed. */
function guardedText(
  { decision, end: last, error }: GuardedOutcome,
  isBack: boolean,
  done: string,
): { detail: string; reason: string | null } {
  if (decision === 'kept') return { detail: `${done} It was confirmed.`, reason: null };
  const why = error?.message ?? 'It was not confirmed in time.';
  if (last?.areFilesBack !== true) {
    const detail = `${why} Not every file could be put back: undo the job.`;
    return { detail, reason: 'rollback_incomplete' };
  }
  if (!isBack) {
    const detail = `${why} The files were put back, but what was made to hold still holds: undo the job.`;
    return { detail, reason: 'rollback_incomplete' };
  }
  const reason = error instanceof ActionError ? error.reason : 'rolled_back';
  return { detail: `${why} Everything was put back as it was.`, reason };
}

/** Takes a repair back, also one that was cut off; may itself be cut off and begun again. */
async function undo(
  context: ActionContext,
  target: Target,
  repair: GuardedRepair,
): Promise<ActionResult> {
  const { id, description, done } = repair.undo;
  const folder = await findSavedBackups(context.undone);
  if (folder !== null) {
    const removals = await readRemovals(folder);
    await context.step({ id, description, interrupt: 'finish' }, async (saved) => {
      await saved([]);
      await takeBackChanges(context, target.root, folder);
      // What a system that does not run holds is in its files.
      if (target.kind === 'live') await removeAll(context, repair, removals);
    });
  }
  const detail = folder === null ? 'Nothing had been changed: nothing to put back.' : done;
  context.note(detail);
  const ended: RepairEnd = { outcome: 'restored', commands: [], files: [], detail };
  const result = await repair.resultOf(context, target, ended);
  return { succeeded: true, reason: null, exitStatus: null, result };
}

async function readRemovals(folder: string): Promise<string[][]> {
  const text = await readFile(join(folder, REMOVALS), 'utf8').catch(() => '[]');
  return z.array(z.array(z.string()).min(1)).parse(JSON.parse(text));
}

/** One that is gone already is as wanted. */
async function removeAll(
  context: ActionContext,
  repair: GuardedRepair,
  removals: readonly (readonly string[])[],
): Promise<void> {
  for (const removal of removals.toReversed()) {
    const argv = helperCommand(removal);
    const done = await context.run(argv, { output: 'both' });
    if (done.exitStatus === 0 || repair.isGone(done.err)) continue;
    throw new ActionError('undo_incomplete', `${commandText(argv)}: ${done.err.trim()}`);
  }
}

async function end(
  { context, target, repair, found, planned }: Work,
  outcome: RepairEnd['outcome'],
  detail: string,
  reason: string | null,
): Promise<ActionResult> {
  context.note(detail);
  const isDone = outcome === 'done';
  const result = await repair.resultOf(context, target, {
    outcome,
    commands: isDone ? found.commands.map(({ make }) => commandText(make)) : [],
    files: isDone ? planned.steps.flatMap(({ changes }) => changes.map(({ path }) => path)) : [],
    detail: detail.slice(0, 2000),
  });
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
