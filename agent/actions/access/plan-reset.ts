import { resetPasswordParameters } from '../../../proto/actions/access.ts';
import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { planChangeSteps, type PlannedSteps } from '../files/change-steps.ts';
import { contentDigest } from '../files/file-state.ts';
import { checkBackupPlace } from '../filesystem/backup-place.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { hashInPlan, resetSteps, type Access, type Reset } from './reset-steps.ts';
import type { PlanBody } from '../same-plan.ts';

export const resetStepTexts = {
  secret: {
    id: 'secret',
    description: 'Make a new password and seal it to the recipient that the client named',
    interrupt: 'finish',
  },
  verify: {
    id: 'verify',
    description: 'Look whether it lets in; if not, put everything back',
    interrupt: 'finish',
  },
} as const;

/** More than the plan's own: records of what is saved. */
const RECORD_BYTES = 64 * 1024;

export function planReset(context: ActionContext): Promise<PlanBody> {
  return withRepairTarget(context, { write: false }, async (target) => {
    const parameters = resetPasswordParameters.parse(context.spec.parameters);
    const reset = await resetSteps(context, target, parameters);
    const { body, planned } = await resetPlan(context, target, reset);
    await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
    return body;
  });
}

/** The plan for what `resetSteps` found; made again when it is carried out, it must be the same. */
export async function resetPlan(
  context: ActionContext,
  target: Target,
  { account, access, steps, findings }: Reset,
): Promise<{ body: PlanBody; planned: PlannedSteps }> {
  const isPassword = access.type === 'password';
  const hash = isPassword ? hashInPlan(access.method) : '';
  const planned = await planChangeSteps(context, target.root, steps(hash));
  const isNeeded = planned.steps.length > 0;
  const body: PlanBody = {
    target: { ...target.ids, user: account.name, access: accessText(access) },
    summary: summaryOf(account.name, access, isNeeded),
    findings,
    preconditions: [
      {
        what: 'to whom the client grants access',
        digest: contentDigest(Buffer.from(accessText(access))),
      },
      ...planned.preconditions,
    ],
    steps: isNeeded
      ? [
          ...(isPassword ? [secretStep(access.recipient)] : []),
          ...planned.steps.map(({ step }) => step),
          verifyStep(),
        ]
      : [],
  };
  return { body, planned };
}

export function accessText(access: Access): string {
  return access.type === 'password' ? access.recipient : access.key.fingerprint;
}

function summaryOf(user: string, access: Access, isNeeded: boolean): string {
  if (!isNeeded) return `Nothing to do: that key is let in as ${user} already.`;
  return access.type === 'password'
    ? `Give ${user} a new password (${access.method}). It is made on the server, sealed to ${access.recipient} and shown to nobody else.`
    : `Let the client's key ${access.key.fingerprint} in as ${user}. No password is made or changed.`;
}

function secretStep(recipient: string): PlanStep {
  return {
    ...resetStepTexts.secret,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: `What was sealed to ${recipient} is on disk before the password is set.`,
    undo: { possible: true, how: 'Nothing is changed; the password opens nothing any more.' },
    interruptBoundSeconds: 30,
  };
}

function verifyStep(): PlanStep {
  return {
    ...resetStepTexts.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: 'Account, hash, expiry and shell, or key with modes and owners, are read again.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 60,
  };
}
