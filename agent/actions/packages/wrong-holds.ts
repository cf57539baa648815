import { packagesRepairParameters } from '../../../proto/actions/packages.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { listed } from './change-plan.ts';
import type { Lacking } from './dpkg-record.ts';

/**
 * The holds that are to be released. Somebody has set them and may know why: throws ActionError
 * `packages_held` for one that the order does not name.
 */
export function holdsToRelease(context: ActionContext, wrong: readonly Lacking[]): string[] {
  const { releaseHolds = [] } = packagesRepairParameters.parse(context.spec.parameters);
  const names = wrong.map(({ name }) => name);
  const kept = wrong.filter(({ name }) => !releaseHolds.includes(name));
  const [first] = kept;
  if (first === undefined) return names;
  throw new ActionError(
    'packages_held',
    `${first.by} needs another version of ${first.name}, which is held back. To let go of such holds name ${listed(names, 24)} with the parameter releaseHolds. Nothing was changed.`,
  );
}

export const wrongHoldText = ({ name, by }: Lacking) =>
  `${name} is held back, and ${by} needs another version of it`;

/** apt itself writes nothing but dpkg's selection; a cache of its own would be a change, too. */
export function releaseArgv(names: readonly string[]): string[] {
  const caches = ['-o', 'Dir::Cache::pkgcache=', '-o', 'Dir::Cache::srcpkgcache='];
  return ['apt-mark', ...caches, 'unhold', ...names];
}
