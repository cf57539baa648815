import type { ChangedPackage } from '../../../../proto/actions/packages.ts';
import type { ActionContext } from '../../../runner/action.ts';
import { nvra } from './rpm-manager.ts';
import { VERIFY } from './rpm-plan-steps.ts';
import { listRpms, runRpmProgram } from './rpm-records.ts';

interface Told {
  name: string;
  architecture: string;
  before: string | null;
  to: string;
}

/**
 * What became of packages. `duplicate`: the version before is there beside the new one, as after a change
 * that was cut off.
 */
export async function whatBecameOfRpms(
  context: ActionContext,
  told: readonly Told[],
): Promise<ChangedPackage[]> {
  const installed = await listRpms(context);
  return told.map(({ name, architecture, before, to }) => {
    const versions = installed
      .filter((entry) => entry.name === name && entry.architecture === architecture)
      .map(({ evr }) => evr);
    const hasNew = versions.includes(to);
    const hasOld = before !== null && before !== to && versions.includes(before);
    const after = hasNew ? to : (versions.at(-1) ?? null);
    const state = after === null ? 'not-installed' : hasNew && hasOld ? 'duplicate' : 'installed';
    return { name, architecture, before, after, state };
  });
}

/** What these packages lack, in rpm's words; empty when nothing. */
export async function lackingOf(
  context: ActionContext,
  packages: readonly { name: string; architecture: string; after: string | null }[],
): Promise<string> {
  const names = packages.flatMap(({ name, architecture, after }) =>
    after === null ? [] : [nvra({ name, architecture, evr: after })],
  );
  if (names.length === 0) return '';
  const done = await runRpmProgram(context, [...VERIFY, ...names]);
  return `${done.out}${done.exitStatus === 0 ? '' : done.err}`.trim();
}
