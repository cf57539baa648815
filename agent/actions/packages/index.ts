import type { ActionImplementation } from '../../runner/action.ts';
import { applyInstall } from './apply-install.ts';
import { applyRepair } from './apply-repair.ts';
import { planInstall } from './plan-install.ts';
import { planRepair } from './plan-repair.ts';
import { undoChange } from './undo-change.ts';

export const packagesInstall: ActionImplementation = {
  plan: planInstall,
  apply: applyInstall,
  undo: undoChange,
};

export const packagesRepair: ActionImplementation = {
  plan: planRepair,
  apply: applyRepair,
};
