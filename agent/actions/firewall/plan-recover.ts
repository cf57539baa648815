import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { PlanBody } from '../same-plan.ts';
import { planChangeSteps, type PlannedSteps } from '../files/change-steps.ts';
import { contentDigest } from '../files/file-state.ts';
import { withRepairTarget } from '../files/repair-target.ts';
import { backupFolderInPlan, checkBackupPlace } from '../filesystem/backup-place.ts';
import { confirmStep, guardStep } from '../guarded/guard-steps.ts';
import { findRecovery, type Recovery } from './recovery.ts';

/** More than the plan's own: records of what is saved. */
const RECORD_BYTES = 64 * 1024;

export const recoverSteps = {
  open: {
    id: 'open',
    description: 'Let SSH in, in the rules that hold now; nothing else, and no rule goes',
    interrupt: 'rollback',
  },
  verify: {
    id: 'verify',
    description: 'Look whether SSH gets in; if not, take everything back',
    interrupt: 'finish',
  },
} as const;

export function planRecover(context: ActionContext): Promise<PlanBody> {
  return withRepairTarget(context, { write: false }, async (target) => {
    const recovery = await findRecovery(context, target);
    const { body, planned } = await recoverPlan(context, target, recovery);
    await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
    return body;
  });
}

/** The plan for what was found; made again when it is carried out, it must be the same. */
export async function recoverPlan(
  context: ActionContext,
  target: Target,
  recovery: Recovery,
): Promise<{ body: PlanBody; planned: PlannedSteps }> {
  const { parameters, ports, openings, findings } = recovery;
  const planned = await planChangeSteps(context, target.root, recovery.steps);
  const isLive = openings.length > 0;
  const { confirmWithinSeconds: within } = parameters;
  const changing = [
    ...(isLive ? [openStep(context, recovery)] : []),
    ...planned.steps.map(({ step }) => step),
  ];
  const saved = { what: 'the files that change, and how the new rules are taken away' };
  const guard = { ...saved, bytes: planned.backupBytes };
  const steps = [
    ...(isLive ? [guardStep(guard, within)] : []),
    ...changing,
    verifyStep(),
    ...(isLive ? [confirmStep(within)] : []),
  ];
  const body: PlanBody = {
    target: { ...target.ids, ports, source: parameters.source ?? 'everybody' },
    summary: summaryOf(recovery, changing.length > 0),
    findings,
    preconditions: [rulesPrecondition(recovery), ...planned.preconditions],
    steps: changing.length > 0 ? steps : [],
  };
  return { body, planned };
}

function rulesPrecondition({ openings, barriers, ports }: Recovery): Plan['preconditions'][number] {
  const all = JSON.stringify([ports, openings.map(({ insert }) => insert), barriers]);
  return { what: 'what keeps SSH out now', digest: contentDigest(Buffer.from(all)) };
}

function summaryOf({ ports, parameters, openings }: Recovery, isNeeded: boolean): string {
  const whom = parameters.source ?? 'everybody';
  const what = `SSH (port ${ports.join(', ')})`;
  if (!isNeeded) return `Nothing to do: the firewall lets ${what} in.`;
  const guarded =
    openings.length === 0
      ? ''
      : ` It takes itself back unless it is confirmed within ${parameters.confirmWithinSeconds} s.`;
  return `Let ${what} in from ${whom}. The firewall stays on, and no rule is removed.${guarded}`;
}

function openStep(context: ActionContext, { openings }: Recovery): PlanStep {
  return {
    ...recoverSteps.open,
    changes: openings.map(({ insert }) => ({ type: 'command', argv: insert })),
    declaredFolders: [],
    backup: { what: 'how each is taken away again', bytes: 0, where: backupFolderInPlan(context) },
    verify: 'Every command exits with 0; the rules are read again.',
    undo: { possible: true, how: 'The same rules are deleted, and no other.' },
    interruptBoundSeconds: 120,
  };
}

function verifyStep(): PlanStep {
  return {
    ...recoverSteps.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: 'A new connection to the ports of SSH is followed through the rules.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 120,
  };
}
