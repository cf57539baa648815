import {
  resetPasswordParameters,
  type ResetPasswordResult,
} from '../../../proto/actions/access.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { applyChangeSteps, planChangeSteps, type PlannedSteps } from '../files/change-steps.ts';
import { makeBackupFolder } from '../filesystem/backup-place.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { isExpired, readAccount, shellFor, today } from './account.ts';
import { addKey, fixKeyModes } from './authorized-key.ts';
import { newPassword } from './new-password.ts';
import { hashPassword, isPasswordOf } from './password-hash.ts';
import { accessText, resetPlan, resetStepTexts } from './plan-reset.ts';
import { putBackUnlessStopped } from '../files/put-back.ts';
import { resetSteps, type Access, type Reset } from './reset-steps.ts';
import { requireSamePlan } from '../same-plan.ts';

/** Carries out a plan of `planReset`; what does not hold afterwards is put back at once. */
export function applyReset(context: ActionContext, plan: Plan | null): Promise<ActionResult> {
  return withRepairTarget(context, { write: true }, async (target) => {
    const parameters = resetPasswordParameters.parse(context.spec.parameters);
    const reset = await resetSteps(context, target, parameters);
    const { body, planned } = await resetPlan(context, target, reset);
    const { preconditions } = requireSamePlan(plan, body);
    if (planned.steps.length === 0) {
      return resultOf(context, reset, planned, 'nothing_to_do', body.summary, null);
    }
    const folder = await makeBackupFolder(context);
    try {
      const password = await changeAccess(context, target, reset, (steps) =>
        applyChangeSteps(context, steps, preconditions, folder),
      );
      await verify(context, target, reset.account.name, reset.access, password);
    } catch (error) {
      const { detail, reason } = await putBackUnlessStopped(context, target, folder, error);
      return resultOf(context, reset, planned, 'rolled_back', detail, reason);
    }
    const isPassword = reset.access.type === 'password';
    const outcome = isPassword ? 'password_set' : 'key_installed';
    return resultOf(context, reset, planned, outcome, doneText(reset), null);
  });
}

/** Returns the new password; null where none is made. */
async function changeAccess(
  context: ActionContext,
  target: Target,
  { account, access, steps }: Reset,
  apply: (steps: PlannedSteps) => Promise<void>,
): Promise<string | null> {
  if (access.type === 'key') {
    await apply(await planChangeSteps(context, target.root, steps('')));
    return null;
  }
  const password = newPassword();
  await context.step(resetStepTexts.secret, async (confirm) => {
    await confirm([]);
    await context.sealOutput('password', password);
  });
  const hash = await hashPassword(context, password, access.method);
  context.note(`The password of ${account.name} is hashed with ${access.method}.`);
  await apply(await planChangeSteps(context, target.root, steps(hash)));
  return password;
}

async function verify(
  context: ActionContext,
  target: Target,
  user: string,
  access: Access,
  password: string | null,
): Promise<void> {
  await context.step(resetStepTexts.verify, async (confirm) => {
    await confirm([]);
    const fault = await faultOf(context, target, user, access, password);
    if (fault !== null) throw new ActionError('verify_failed', fault);
  });
}

/** What still keeps the user out; null when nothing does. */
async function faultOf(
  context: ActionContext,
  target: Target,
  user: string,
  access: Access,
  password: string | null,
): Promise<string | null> {
  const account = await readAccount(target, user);
  const { fields } = account;
  if (isExpired(fields, today())) return `${user} is still expired.`;
  if ((await shellFor(target, account)) !== null) return `${user} has no shell that works.`;
  if (access.type === 'password') {
    const isIt = await isPasswordOf(context, password!, fields[1] ?? '');
    return isIt ? null : `The hash of ${user} is not that of the new password.`;
  }
  if ((await addKey(target, account, access.key)).length > 0) return 'The key is not there.';
  const modes = await planChangeSteps(context, target.root, [
    { id: 'modes', description: '', verify: '', changes: await fixKeyModes(target, account) },
  ]);
  return modes.steps.length === 0 ? null : 'sshd would pass over the key: modes are wrong.';
}

function doneText({ account, access }: Reset): string {
  return access.type === 'password'
    ? `${account.name} has a new password, sealed to ${access.recipient}: whoever gets it should change it.`
    : `The key ${access.key.fingerprint} is let in as ${account.name}.`;
}

function resultOf(
  context: ActionContext,
  { account, access }: Reset,
  { steps }: PlannedSteps,
  outcome: ResetPasswordResult['outcome'],
  detail: string,
  reason: string | null,
): ActionResult {
  context.note(detail);
  const isDone = reason === null && outcome !== 'nothing_to_do';
  const result: ResetPasswordResult = {
    outcome,
    user: account.name,
    method: isDone && access.type === 'password' ? access.method : null,
    sealedTo: isDone && access.type === 'password' ? accessText(access) : null,
    key: access.type === 'key' ? accessText(access) : null,
    files: isDone ? steps.flatMap(({ changes }) => changes.map(({ path }) => path)) : [],
    detail: detail.slice(0, 2000),
  };
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
