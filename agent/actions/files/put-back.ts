import { ActionError, type ActionContext } from '../../runner/action.ts';
import { StoppedError } from '../../runner/stop-control.ts';
import type { Target } from '../../target/open-target.ts';
import { takeBackChanges } from './change-steps.ts';
import { findSavedBackups } from './saved-backups.ts';

/**
 * After a job failed on its way: puts back what it had changed, and says why. A job that was told to stop
 * leaves things as they are, and its undo is offered: the error is thrown on.
 */
export async function putBackUnlessStopped(
  context: ActionContext,
  target: Target,
  folder: string,
  error: unknown,
): Promise<{ reason: string; detail: string }> {
  if (error instanceof StoppedError || context.signal.aborted) throw error;
  const said = (error as Error).message;
  context.note(`${said} Everything is put back.`);
  await takeBackChanges(context, target.root, folder);
  const reason = error instanceof ActionError ? error.reason : 'repair_failed';
  return { reason, detail: `${said} Everything was put back as it was.` };
}

const undoStep = {
  id: 'undo-files',
  description: 'Put back everything that the job changed, as it was',
  interrupt: 'finish',
} as const;

/** Takes a job back, also one that was cut off; returns what to tell people. May be cut off and begun again. */
export async function undoChanges(context: ActionContext, target: Target): Promise<string> {
  const folder = await findSavedBackups(context.undone);
  if (folder === null) return 'Nothing had been changed: nothing to put back.';
  await context.step(undoStep, async (confirm) => {
    await confirm([]);
    await takeBackChanges(context, target.root, folder);
  });
  return 'Everything that the job changed is as it was before.';
}
