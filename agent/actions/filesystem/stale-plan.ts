import { ActionError } from '../../runner/action.ts';

/** The plan was made for another state than there is now: it must be made anew. */
export function stalePlan(what: string): ActionError {
  const message = `the file system has changed since it was planned: ${what}`;
  return new ActionError('changed_since_plan', message);
}
