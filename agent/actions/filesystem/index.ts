import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
} from '../../runner/action.ts';
import type { PlanBody } from '../same-plan.ts';
import { applyRepair } from './ext/apply-repair.ts';
import { checkFilesystem } from './ext/check-filesystem.ts';
import { planRepair } from './ext/plan-repair.ts';
import { undoRepair } from './ext/undo-repair.ts';
import { findKind, patchedKinds } from './filesystem-kind.ts';
import { inspectUnused, withNamedVolume, type NamedVolume } from './named-volume.ts';
import {
  applyPatched,
  checkPatched,
  planPatched,
  undoPatched,
  type NamedKind,
} from './patch/repair-by-patch.ts';
import { hasSavedPatch } from './patch/saved-patch.ts';

export const filesystemCheck: ActionImplementation = {
  apply: (context) =>
    byKind(context, false, {
      ext: ({ context: own }) => checkFilesystem(own),
      patched: checkPatched,
    }),
};

export const filesystemRepair: ActionImplementation = {
  plan: (context) => byKind<PlanBody>(context, false, { ext: planExt, patched: planPatched }),
  async apply(context, plan) {
    if (plan === null) throw new ActionError('plan_missing', 'a repair needs a plan');
    return byKind<ActionResult>(context, true, {
      ext: ({ context: own }) => applyRepair(own, plan),
      patched: (volume, kind) => applyPatched(volume, kind, plan),
    });
  },
  // By what was saved: what a repair that was cut off left may not be recognised as anything.
  undo: (context) =>
    withNamedVolume(context, { write: true }, (volume) => {
      if (hasSavedPatch(context.undone)) return undoPatched(volume);
      requireSaved(context);
      return undoRepair(volume.context);
    }),
};

interface ByKind<T> {
  ext: (volume: NamedVolume) => Promise<T>;
  patched: (volume: NamedVolume, kind: NamedKind) => Promise<T>;
}

/** What is done depends on what the volume holds, also where its first superblock is gone. */
function byKind<T>(
  context: ActionContext,
  write: boolean,
  { ext, patched }: ByKind<T>,
): Promise<T> {
  return withNamedVolume(context, { write }, async (volume) => {
    const name = await findKind(context, await inspectUnused(volume.device));
    return name === 'ext' ? ext(volume) : patched(volume, { name, kind: patchedKinds[name] });
  });
}

async function planExt({ context, ids, name, device }: NamedVolume): Promise<PlanBody> {
  if (context.spec.parameters['discardLog'] === true) {
    throw new ActionError('parameter_not_applicable', 'discardLog is for XFS only');
  }
  const body = await planRepair(context);
  const summary = name === device ? body.summary : `${body.summary} It is ${name}.`;
  return { ...body, summary, target: { ...ids, ...body.target } };
}

/** Throws ActionError where a job wrote without having saved anything, as its plan had said. */
function requireSaved({ undone }: ActionContext): void {
  const records = undone?.records ?? [];
  const hasWritten = records.some(({ type, ...rest }) => {
    return type === 'step_saved' && 'step' in rest && rest.step === 'repair';
  });
  const hasSaved = records.some(
    (record) => record.type === 'step_saved' && record.backups.length > 0,
  );
  if (!hasWritten || hasSaved) return;
  throw new ActionError('undo_not_possible', 'the repair kept nothing, as its plan had said');
}
