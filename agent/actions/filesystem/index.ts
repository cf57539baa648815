import type { ActionImplementation } from '../../runner/action.ts';
import { applyRepair } from './apply-repair.ts';
import { checkFilesystem } from './check-filesystem.ts';
import { planRepair } from './plan-repair.ts';
import { undoRepair } from './undo-repair.ts';

export const filesystemCheck: ActionImplementation = { apply: checkFilesystem };

export const filesystemRepair: ActionImplementation = {
  plan: planRepair,
  apply: applyRepair,
  undo: undoRepair,
};
