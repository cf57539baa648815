import type { ActionImplementation } from '../../runner/action.ts';
import { applyReset } from './apply-reset.ts';
import { planReset } from './plan-reset.ts';
import { undoReset } from './undo-reset.ts';

export const accessResetPassword: ActionImplementation = {
  plan: planReset,
  apply: applyReset,
  undo: undoReset,
};
