import type { ActionImplementation } from '../../runner/action.ts';
import { applyRecover } from './apply-recover.ts';
import { planRecover } from './plan-recover.ts';
import { undoRecover } from './undo-recover.ts';

export const firewallRecover: ActionImplementation = {
  plan: planRecover,
  apply: applyRecover,
  undo: undoRecover,
};
