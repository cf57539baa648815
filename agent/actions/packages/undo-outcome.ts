import type { ChangedPackage } from '../../../proto/actions/packages.ts';
import type { ActionContext, ActionResult } from '../../runner/action.ts';
import { listed } from './change-plan.ts';
import { packagesResult } from './package-outcome.ts';

type Context = Pick<ActionContext, 'note'>;
type Named = readonly { name: string }[];

/** The end of an undo after which every package is as it was before. */
export function restored(
  context: Context,
  packages: readonly ChangedPackage[],
  detail: string,
): ActionResult {
  context.note(detail);
  const result = packagesResult({ outcome: 'restored', packages, detail });
  return { succeeded: true, reason: null, exitStatus: null, result };
}

/** The end of an undo after which some packages are not as before, or `audit` has something to say. */
export function notRestored(
  context: Context,
  packages: readonly ChangedPackage[],
  { wrong, audit }: { wrong: Named; audit: string },
): ActionResult {
  const names = listed(wrong.map(({ name }) => name));
  const detail = `${names === '' ? '' : `Not as before: ${names}. `}${audit}`;
  context.note(detail);
  const result = packagesResult({ outcome: 'incomplete', packages, audit, detail });
  return { succeeded: false, reason: 'undo_incomplete', exitStatus: null, result };
}

/** What an undo did, in sentences; `stays` says what is left of the change. */
export function whatWasUndone(put: Named, away: Named, stays: string): string {
  return [
    put.length > 0 ? `Put back: ${listed(put.map(({ name }) => name))}.` : '',
    away.length > 0 ? `Taken away: ${listed(away.map(({ name }) => name))}.` : '',
    stays,
  ]
    .filter((text) => text !== '')
    .join(' ');
}
