import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
} from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { withRepairTarget } from './repair-target.ts';
import { putBackUnlessStopped, undoChanges } from './put-back.ts';
import { policyLabel, RELABEL_ALL, usesLabels } from './security-label.ts';
import { requireSamePlan, type PlanBody } from '../same-plan.ts';
import { checkBackupPlace, makeBackupFolder } from '../filesystem/backup-place.ts';
import {
  applyChangeSteps,
  planChangeSteps,
  type ChangeStep,
  type PlannedSteps,
} from './change-steps.ts';

/** What a repair found, and the files that are to change for it. */
export interface FileRepairPlan {
  summary: string;
  findings: string[];
  steps: ChangeStep[];
  /** What else identifies the target in the plan. */
  target?: Record<string, JsonValue>;
  /** How the result is verified, in a sentence. */
  verify: string;
}

export type FileRepairOutcome = 'repaired' | 'nothing_to_do' | 'rolled_back' | 'restored';

export interface FileRepair {
  /** Looks; changes nothing. The same target gives the same answer. */
  inspect(context: ActionContext, target: Target): Promise<FileRepairPlan>;
  /** What is still wrong after the steps, in a sentence; null when nothing is. */
  findFault(context: ActionContext, target: Target): Promise<string | null>;
  /** After the change was verified, on the running system only: lets programs know of it. */
  announce?(context: ActionContext, target: Target): Promise<void>;
}

const verifyTexts = {
  id: 'verify',
  description: 'Look whether it is repaired; if not, put everything back',
  interrupt: 'finish',
} as const;

const VERIFY_BOUND_SECONDS = 60;
const RECORD_BYTES = 64 * 1024;

/**
 * An action that repairs by changing files of its target and nothing else, live or on disks: planned to the
 * byte, saved before the first write, put back when the result does not hold, and undone from what was saved.
 */
export function fileRepair(repair: FileRepair): ActionImplementation {
  return {
    plan: (context) =>
      withRepairTarget(context, { write: false }, (target) =>
        planFileRepair(context, target, repair),
      ),
    apply: (context, plan) =>
      withRepairTarget(context, { write: true }, (target) =>
        applyFileRepair(context, target, repair, plan),
      ),
    undo: (context) =>
      withRepairTarget(context, { write: true }, async (target) => {
        const detail = await undoChanges(context, target);
        await announce(context, target, repair);
        return fileRepairEnd(context, 'restored', [], detail, null);
      }),
  };
}

/** The plan of `fileRepair`, for a target that is open already. */
export async function planFileRepair(
  context: ActionContext,
  target: Target,
  repair: FileRepair,
): Promise<PlanBody> {
  const { body, planned } = await planOf(context, target, repair);
  await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
  return body;
}

async function planOf(
  context: ActionContext,
  target: Target,
  repair: FileRepair,
): Promise<{ body: PlanBody; planned: PlannedSteps }> {
  const { summary, findings, steps, verify, target: more } = await repair.inspect(context, target);
  const relabel = await relabelSteps(context, target, steps);
  const planned = await planChangeSteps(context, target.root, [...steps, ...relabel]);
  const isNeeded = planned.steps.length > 0;
  const body: PlanBody = {
    target: { ...target.ids, ...more },
    summary,
    findings,
    preconditions: planned.preconditions,
    steps: isNeeded ? [...planned.steps.map(({ step }) => step), verifyStep(verify)] : [],
  };
  return { body, planned };
}

/**
 * A new file whose label nobody can say gets that of its folder, which may be the wrong one: the next boot of
 * the system then labels every file, as it would after any work from outside.
 */
async function relabelSteps(
  context: ActionContext,
  { root, files, kind }: Target,
  steps: readonly ChangeStep[],
): Promise<ChangeStep[]> {
  if (kind === 'live' || !(await usesLabels(root))) return [];
  for (const change of steps.flatMap(({ changes }) => changes)) {
    if (change.kind !== 'file' || change.content === null || change.label !== undefined) continue;
    if ((await files.lstat(change.path)) !== null) continue;
    if ((await policyLabel(context, root, change.path, 'file')) !== null) continue;
    const all = { kind: 'file', path: RELABEL_ALL, content: Buffer.alloc(0), mode: 0o644 } as const;
    return [
      {
        id: 'relabel',
        description: 'Have the next boot label every file for SELinux, which takes minutes',
        changes: [all],
        verify: 'It is there.',
      },
    ];
  }
  return [];
}

/** Carries it out, for a target that is open already. */
export async function applyFileRepair(
  context: ActionContext,
  target: Target,
  repair: FileRepair,
  plan: Plan | null,
): Promise<ActionResult> {
  const { body, planned } = await planOf(context, target, repair);
  const { preconditions } = requireSamePlan(plan, body);
  if (planned.steps.length === 0) {
    return fileRepairEnd(context, 'nothing_to_do', [], body.summary, null);
  }
  const folder = await makeBackupFolder(context);
  try {
    await applyChangeSteps(context, planned, preconditions, folder);
    await context.step(verifyTexts, async (confirm) => {
      await confirm([]);
      const fault = await repair.findFault(context, target);
      if (fault !== null) throw new ActionError('verify_failed', fault);
    });
  } catch (error) {
    const { detail, reason } = await putBackUnlessStopped(context, target, folder, error);
    return fileRepairEnd(context, 'rolled_back', [], detail, reason);
  }
  await announce(context, target, repair);
  const files = planned.steps.flatMap(({ changes }) => changes.map(({ path }) => path));
  return fileRepairEnd(context, 'repaired', files, body.summary, null);
}

async function announce(context: ActionContext, target: Target, repair: FileRepair): Promise<void> {
  if (target.kind === 'live') await repair.announce?.(context, target);
}

function verifyStep(verify: string): PlanStep {
  return {
    ...verifyTexts,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify,
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: VERIFY_BOUND_SECONDS,
  };
}

/** The end of a repair whose result is a `FileRepairResult`. */
export function fileRepairEnd(
  context: ActionContext,
  outcome: FileRepairOutcome,
  files: string[],
  detail: string,
  reason: string | null,
): ActionResult {
  context.note(detail);
  return {
    succeeded: reason === null,
    reason,
    exitStatus: null,
    result: { outcome, files, detail: detail.slice(0, 2000) },
  };
}
