import { findAction } from '../../proto/actions/catalogue.ts';
import type { JobSpec } from '../jobs/job-spec.ts';

/**
 * Whether a job may have a guard. Asked with what the agent itself wrote down of the job: a folder `guard` of
 * any other job is nothing, because its guardian has all of root's powers.
 */
export function isGuarded(spec: Pick<JobSpec, 'action' | 'mode' | 'target'>): boolean {
  return spec.mode === 'apply' && spec.target === null && findAction(spec.action)?.guarded === true;
}
