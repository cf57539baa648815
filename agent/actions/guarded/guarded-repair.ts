import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { planChangeSteps, type ChangeStep, type PlannedSteps } from '../files/change-steps.ts';
import { contentDigest } from '../files/file-state.ts';
import { backupFolderInPlan } from '../filesystem/backup-place.ts';
import type { PlanBody } from '../same-plan.ts';
import { confirmStep, guardStep } from './guard-steps.ts';

/** One change of what holds now, in a running system. */
export interface LiveCommand {
  make: string[];
  /** Takes it away again; may be run twice. The first word may be a helper of the guardian. */
  takeBack: string[];
}

/** What a repair found: everything that is to change, and on what the plan rests. */
export interface FoundRepair {
  summary: string;
  findings: string[];
  /** Files, which hold after a boot. */
  steps: ChangeStep[];
  /** What holds now; none where the target does not run. */
  commands: LiveCommand[];
  /** What takes away, once a boot has made the files hold, what they made. */
  removals: string[][];
  /** What else identifies the target in the plan. */
  target: Record<string, JsonValue>;
  precondition: { what: string; value: JsonValue };
  confirmWithinSeconds: number;
}

export interface RepairEnd {
  outcome: 'done' | 'nothing_to_do' | 'rolled_back' | 'restored';
  /** What was made to hold now, as a person would type it. */
  commands: string[];
  files: string[];
  detail: string;
}

interface StepTexts {
  id: string;
  description: string;
}

/** A repair of files and of what holds now, which could cut the server off. */
export interface GuardedRepair {
  live: StepTexts & Pick<PlanStep, 'verify' | 'undo'> & { backup: string };
  verify: StepTexts & Pick<PlanStep, 'verify'>;
  undo: StepTexts & { done: string };
  /** Looks; changes nothing. The same target gives the same answer. */
  find(context: ActionContext, target: Target): Promise<FoundRepair>;
  /** What is still wrong afterwards, in a sentence; null when nothing is. */
  findFault(context: ActionContext, target: Target): Promise<string | null>;
  /** What is done, for people. */
  doneText(context: ActionContext, target: Target): Promise<string>;
  resultOf(
    context: ActionContext,
    target: Target,
    end: RepairEnd,
  ): Promise<Record<string, JsonValue>>;
  /** Whether a command that takes back says that there is nothing to take back. */
  isGone(said: string): boolean;
}

/** The plan for what was found; made again when it is carried out, it must be the same. */
export async function guardedPlan(
  context: ActionContext,
  target: Target,
  repair: GuardedRepair,
  found: FoundRepair,
): Promise<{ body: PlanBody; planned: PlannedSteps }> {
  const planned = await planChangeSteps(context, target.root, found.steps);
  const isLive = found.commands.length > 0;
  const changing = [
    ...(isLive ? [liveStep(context, repair, found)] : []),
    ...planned.steps.map(({ step }) => step),
  ];
  const guard = {
    what: 'the files that change, and how what holds now is taken back',
    bytes: planned.backupBytes,
  };
  const within = found.confirmWithinSeconds;
  const steps = [
    ...(isLive ? [guardStep(guard, within)] : []),
    ...changing,
    verifyStep(repair),
    ...(isLive ? [confirmStep(within)] : []),
  ];
  const guarded = isLive ? ` It takes itself back unless it is confirmed within ${within} s.` : '';
  const { what, value } = found.precondition;
  const digest = contentDigest(Buffer.from(JSON.stringify(value)));
  const body: PlanBody = {
    target: { ...target.ids, ...found.target },
    summary: `${found.summary}${changing.length > 0 ? guarded : ''}`,
    findings: found.findings,
    preconditions: [{ what, digest }, ...planned.preconditions],
    steps: changing.length > 0 ? steps : [],
  };
  return { body, planned };
}

function liveStep(
  context: ActionContext,
  { live }: GuardedRepair,
  { commands }: FoundRepair,
): PlanStep {
  const { id, description, verify, undo, backup } = live;
  return {
    id,
    description,
    interrupt: 'rollback',
    changes: commands.map(({ make }) => ({ type: 'command', argv: make })),
    declaredFolders: [],
    backup: { what: backup, bytes: 0, where: backupFolderInPlan(context) },
    verify,
    undo,
    interruptBoundSeconds: 120,
  };
}

function verifyStep({ verify }: GuardedRepair): PlanStep {
  return {
    ...verify,
    interrupt: 'finish',
    changes: [],
    declaredFolders: [],
    backup: null,
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 120,
  };
}
