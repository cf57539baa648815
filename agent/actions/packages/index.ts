import type { ActionImplementation } from '../../runner/action.ts';
import { applyInstall } from './apply-install.ts';
import { planInstall } from './plan-install.ts';
import { undoChange } from './undo-change.ts';

export const packagesInstall: ActionImplementation = {
  plan: planInstall,
  apply: applyInstall,
  undo: undoChange,
};
