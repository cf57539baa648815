import { dirname, join } from 'node:path';
import type { z } from 'zod';
import type { jobConfirmResult } from '../../../proto/actions/job.ts';
import { GuardFolder } from '../../guard/guard-folder.ts';
import { ActionError, type ActionContext, type ActionImplementation } from '../../runner/action.ts';

/**
 * Decides that the guarded change of another job is kept. Throws ActionError: `nothing_to_confirm` when none
 * waits there, `too_late` when it is being taken back, `control_plane_not_reached` while nothing shows that the
 * server can still be reached.
 */
async function apply(context: ActionContext) {
  const job = context.spec.parameters['job'] as string;
  const guard = new GuardFolder(join(dirname(context.directory), job));
  if (!guard.isArmed) {
    throw new ActionError('nothing_to_confirm', `no change of job ${job} waits for a confirmation`);
  }
  const earlier = guard.decision;
  if (earlier === null) requireConfirmable(guard, job);
  const decision = earlier ?? (await guard.decide('kept'));
  if (decision !== 'kept') throw tooLate(job);
  const detail =
    earlier === null ? `What job ${job} changed stays.` : `It was confirmed before: it stays.`;
  context.note(detail);
  const result: z.output<typeof jobConfirmResult> = { outcome: 'kept', job, detail };
  return { succeeded: true, reason: null, exitStatus: null, result };
}

function requireConfirmable(guard: GuardFolder, job: string): void {
  if (guard.secondsLeft === 0) throw tooLate(job);
  if (!guard.isChanged) {
    throw new ActionError('nothing_to_confirm', `job ${job} has not changed everything yet`);
  }
  if (guard.isReached) return;
  throw new ActionError(
    'control_plane_not_reached',
    `no connection that was begun after the change of job ${job} has reached the control plane yet`,
  );
}

function tooLate(job: string): ActionError {
  return new ActionError('too_late', `what job ${job} changed has been taken back, or is just now`);
}

export const jobConfirm: ActionImplementation = { apply };
