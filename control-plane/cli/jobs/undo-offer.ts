import { findAction } from '../../../proto/actions/catalogue.ts';
import type { JobBody } from '../api/bodies.ts';

/** Whether the job has put back by itself all that it did. */
export function isRolledBack({ result, reason }: JobBody): boolean {
  const outcome = (result as { outcome?: unknown } | null)?.outcome;
  return outcome === 'rolled_back' && reason !== 'rollback_incomplete';
}

/** Whether an undo may be offered: only what was planned has saved what it changed. */
export function canBeUndone(job: JobBody): boolean {
  if (isRolledBack(job)) return false;
  // The digest of a plan stands at the job that made it; the catalogue tells what is planned.
  const action = findAction(job.action);
  if (action === undefined || !action.plans || action.undo === 'none') return false;
  return job.mode === 'apply' && job.undoneByJobId === null;
}
