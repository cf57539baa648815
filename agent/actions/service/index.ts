import type { ActionImplementation } from '../../runner/action.ts';
import { applyConfigure } from './apply-configure.ts';
import { applyRestart } from './apply-restart.ts';
import { planConfigure } from './plan-configure.ts';
import { planRestart } from './plan-restart.ts';
import { serviceStatusApply } from './service-status.ts';
import { undoConfigure } from './undo-configure.ts';
import { undoRestart } from './undo-restart.ts';

export const serviceStatus: ActionImplementation = { apply: serviceStatusApply };

export const serviceRestart: ActionImplementation = {
  plan: planRestart,
  apply: applyRestart,
  undo: undoRestart,
};

/** Of `service.configure` and `service.override`: they differ in what their parameters may say. */
export const serviceConfigure: ActionImplementation = {
  plan: planConfigure,
  apply: applyConfigure,
  undo: undoConfigure,
};
