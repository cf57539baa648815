import type { ActionContext, ActionImplementation } from '../../runner/action.ts';
import { applyConfigure } from './apply-configure.ts';
import { applyRestart } from './apply-restart.ts';
import { configureFiles, wantsDefault } from './configure-files.ts';
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
  plan: (context) => (byFiles(context) ? configureFiles.plan!(context) : planConfigure(context)),
  apply: (context, plan) =>
    byFiles(context) ? configureFiles.apply(context, plan) : applyConfigure(context, plan),
  undo: (context) => (byFiles(context) ? configureFiles.undo!(context) : undoConfigure(context)),
};

/** Where no systemd can be asked, or need not be. */
function byFiles(context: ActionContext): boolean {
  return context.spec.target !== null || wantsDefault(context);
}
