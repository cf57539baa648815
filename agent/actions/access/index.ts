import type { ActionImplementation } from '../../runner/action.ts';
import { applyAccounts, undoAccounts } from './accounts/apply-accounts.ts';
import { planAccounts } from './accounts/plan-accounts.ts';
import { applyReset } from './apply-reset.ts';
import { planReset } from './plan-reset.ts';
import { applyRestore } from './ssh/apply-restore.ts';
import { planRestore } from './ssh/plan-restore.ts';
import { undoRestore } from './ssh/undo-restore.ts';
import { undoReset } from './undo-reset.ts';

export const accessResetPassword: ActionImplementation = {
  plan: planReset,
  apply: applyReset,
  undo: undoReset,
};

export const accessRestoreSsh: ActionImplementation = {
  plan: planRestore,
  apply: applyRestore,
  undo: undoRestore,
};

export const accessRepairAccounts: ActionImplementation = {
  plan: planAccounts,
  apply: applyAccounts,
  undo: undoAccounts,
};
