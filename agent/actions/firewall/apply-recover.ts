import { join } from 'node:path';
import { commandText } from '../../../proto/documents/command-text.ts';
import type { FirewallRecoverResult } from '../../../proto/actions/firewall.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { GUARD_FOLDER, scriptPath } from '../../guard/guard-folder.ts';
import {
  ActionError,
  type ActionContext,
  type ActionResult,
  type SavedBackup,
} from '../../runner/action.ts';
import { StoppedError } from '../../runner/stop-control.ts';
import type { Target } from '../../target/open-target.ts';
import { requireSamePlan } from '../same-plan.ts';
import { applyChangeSteps, takeBackChanges, type PlannedSteps } from '../files/change-steps.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { makeBackupFolder } from '../filesystem/backup-place.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { withGuard, type ChangingRun, type GuardedOutcome } from '../guarded/with-guard.ts';
import { REMOVE_NFT_RULE, type LiveOpening } from './live-opening.ts';
import { recoverPlan, recoverSteps } from './plan-recover.ts';
import { findRecovery, shutOut, type Recovery } from './recovery.ts';

/** What an undo needs besides the files: how each rule is taken away, whether it was made or a boot makes it. */
export const REMOVALS = 'removals.json';

/** Carries out a plan of `planRecover`. */
export function applyRecover(context: ActionContext, plan: Plan | null): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const recovery = await findRecovery(context, target);
    const { body, planned } = await recoverPlan(context, target, recovery);
    const { preconditions } = requireSamePlan(plan, body);
    if (body.steps.length === 0) {
      return resultOf(context, recovery, planned, 'nothing_to_do', body.summary, null);
    }
    const folder = await makeBackupFolder(context);
    return recovery.openings.length === 0
      ? changeFiles(context, target, recovery, planned, preconditions, folder)
      : changeGuarded(context, target, recovery, planned, preconditions, folder);
  });
}

/** Files alone cut nobody off. */
async function changeFiles(
  context: ActionContext,
  target: Target,
  recovery: Recovery,
  planned: PlannedSteps,
  agreed: Plan['preconditions'],
  folder: string,
): Promise<ActionResult> {
  try {
    await saveRemovals(recovery, folder);
    await applyChangeSteps(context, planned, agreed, folder);
    await verify(context, target, recovery);
  } catch (error) {
    // Told to stop, the job leaves things as they are, and its undo is offered.
    if (error instanceof StoppedError || context.signal.aborted) throw error;
    await takeBackChanges(context, target.root, folder);
    const detail = `${(error as Error).message} Everything was put back as it was.`;
    const reason = error instanceof ActionError ? error.reason : 'recover_failed';
    return resultOf(context, recovery, planned, 'rolled_back', detail, reason);
  }
  return resultOf(context, recovery, planned, 'opened', openedText(recovery), null);
}

async function changeGuarded(
  context: ActionContext,
  target: Target,
  recovery: Recovery,
  planned: PlannedSteps,
  agreed: Plan['preconditions'],
  backups: string,
): Promise<ActionResult> {
  const { openings, parameters } = recovery;
  const guardFolder = join(context.directory, GUARD_FOLDER);
  const outcome = await withGuard(
    context,
    {
      root: target.root,
      backups,
      files: planned,
      agreed,
      alsoSave: async () => [await saveRemovals(recovery, backups)],
      commands: openings
        .toReversed()
        .map(({ remove }) => removalCommand(remove, (name) => join(guardFolder, name))),
      // A boot starts with the rules of the files.
      bootCommands: [],
      withinSeconds: parameters.confirmWithinSeconds,
    },
    async (change) => {
      await open(context, openings, change.run);
      await change.changeFiles();
      await verify(context, target, recovery);
    },
  );
  const { detail, reason } = guardedText(outcome, openedText(recovery));
  return resultOf(
    context,
    recovery,
    planned,
    outcome.decision === 'kept' ? 'opened' : 'rolled_back',
    detail,
    reason,
  );
}

async function open(
  context: ActionContext,
  openings: readonly LiveOpening[],
  run: ChangingRun,
): Promise<void> {
  await context.step(recoverSteps.open, async (saved) => {
    await saved([]);
    for (const { insert } of openings) {
      const done = await run(insert, { output: 'both' });
      if (done.exitStatus === 0) continue;
      throw new ActionError('not_opened', `${commandText(insert)}: ${done.err.trim()}`);
    }
  });
}

/** The command that takes a rule away. */
export function removalCommand(remove: readonly string[], script = scriptPath): string[] {
  const [program = '', ...rest] = remove;
  return program === REMOVE_NFT_RULE ? ['/bin/sh', script(REMOVE_NFT_RULE), ...rest] : [...remove];
}

function saveRemovals({ openings, removals }: Recovery, folder: string): Promise<SavedBackup> {
  const all = [...openings.map(({ remove }) => remove), ...removals];
  return writeBackup(join(folder, REMOVALS), JSON.stringify(all));
}

async function verify(context: ActionContext, target: Target, recovery: Recovery): Promise<void> {
  await context.step(recoverSteps.verify, async (saved) => {
    await saved([]);
    if (target.kind === 'live') {
      const [left] = await shutOut(context, recovery.packets);
      if (left !== undefined) {
        throw new ActionError('verify_failed', `SSH is still kept out, by: ${left.text}.`);
      }
    }
    const { steps } = await findRecovery(context, target);
    if (steps.length > 0) {
      throw new ActionError('verify_failed', `Not enough: ${steps[0]!.description}.`);
    }
  });
}

function openedText({ ports, parameters }: Recovery): string {
  return `SSH gets in (port ${ports.join(', ')}) from ${parameters.source ?? 'everybody'}.`;
}

/** How a guarded change ended, for people, and the reason code of a job that failed. */
export function guardedText(
  { decision, end, error }: GuardedOutcome,
  done: string,
): { detail: string; reason: string | null } {
  if (decision === 'kept') return { detail: `${done} It was confirmed.`, reason: null };
  const why = error?.message ?? 'It was not confirmed in time.';
  if (end?.areFilesBack !== true) {
    const detail = `${why} Not every file could be put back: undo the job.`;
    return { detail, reason: 'rollback_incomplete' };
  }
  const reason = error instanceof ActionError ? error.reason : 'rolled_back';
  return { detail: `${why} Everything was put back as it was.`, reason };
}

function resultOf(
  context: ActionContext,
  { ports, parameters, openings }: Recovery,
  { steps }: PlannedSteps,
  outcome: FirewallRecoverResult['outcome'],
  detail: string,
  reason: string | null,
): ActionResult {
  context.note(detail);
  const isDone = outcome === 'opened';
  const result: FirewallRecoverResult = {
    outcome,
    ports,
    source: parameters.source ?? null,
    rules: isDone ? openings.map(({ insert }) => commandText(insert)) : [],
    files: isDone ? steps.flatMap(({ changes }) => changes.map(({ path }) => path)) : [],
    detail: detail.slice(0, 2000),
  };
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
