import type { PackagesOutcome } from '../../../proto/actions/packages.ts';
import type { ActionImplementation, ActionResult } from '../../runner/action.ts';
import { applyFileRepair, planFileRepair } from '../files/file-repair.ts';
import { undoChanges } from '../files/put-back.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { applyInstall } from './apply-install.ts';
import { applyRepair } from './apply-repair.ts';
import { applyFinish, planFinish } from './finish-on-disk.ts';
import { FILES_FAULT, packageFiles } from './package-files.ts';
import { packagesResult } from './package-outcome.ts';
import { managerOf, rpmManagerOf } from './package-system.ts';
import { planInstall } from './plan-install.ts';
import { planRepair } from './plan-repair.ts';
import { applyRpmInstall } from './rpm/apply-rpm-install.ts';
import { applyRpmRepair } from './rpm/apply-rpm-repair.ts';
import { planRpmInstall } from './rpm/plan-rpm-install.ts';
import { planRpmRepair } from './rpm/plan-rpm-repair.ts';
import { undoRpmChange } from './rpm/undo-rpm-change.ts';
import { undoChange } from './undo-change.ts';

export const packagesInstall: ActionImplementation = {
  plan: async (context) => {
    const manager = await rpmManagerOf();
    return manager === null ? planInstall(context) : planRpmInstall(context, manager);
  },
  apply: async (context, plan) => {
    const manager = await rpmManagerOf();
    return manager === null ? applyInstall(context, plan) : applyRpmInstall(context, manager, plan);
  },
  undo: async (context) => {
    const manager = await rpmManagerOf();
    return manager === null ? undoChange(context) : undoRpmChange(context, manager);
  },
};

/** Single files come first: without them neither dpkg nor apt can be asked. */
export const packagesRepair: ActionImplementation = {
  plan: (context) =>
    withRepairTarget(context, { write: false }, async (target) => {
      const manager = await managerOf(target);
      if (manager !== null) return planRpmRepair(context, manager);
      const files = await planFileRepair(context, target, packageFiles);
      if (files.steps.length > 0) return files;
      return target.kind === 'offline' ? planFinish(context, target) : planRepair(context);
    }),
  apply: (context, plan) =>
    withRepairTarget(context, { write: true }, async (target) => {
      const manager = await managerOf(target);
      if (manager !== null) return applyRpmRepair(context, manager, plan);
      if (plan?.target['fault'] === FILES_FAULT) {
        return inOwnWords(await applyFileRepair(context, target, packageFiles, plan));
      }
      return target.kind === 'offline'
        ? applyFinish(context, target, plan)
        : applyRepair(context, plan);
    }),
  /** Of a system on disks, where every change is one of files. */
  undo: (context) =>
    withRepairTarget(context, { write: true }, async (target) => {
      const detail = await undoChanges(context, target);
      context.note(detail);
      const result = packagesResult({ outcome: 'restored', detail });
      return { succeeded: true, reason: null, exitStatus: null, result };
    }),
};

/** The result of a repair of files as `packages.repair` gives it. */
function inOwnWords({ result, ...end }: ActionResult): ActionResult {
  const { outcome, detail } = result as { outcome: PackagesOutcome; detail: string };
  return { ...end, result: packagesResult({ outcome, detail }) };
}
