import type { DiagnosticsResult } from '../../../proto/actions/diagnostics.ts';
import { commandText } from '../../../proto/documents/command-text.ts';
import { orderClass } from '../../../proto/documents/coverage.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { CliError, usageError, type NextStep } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { compareDiagnoses, keyOf } from '../diagnosis/compare-diagnoses.ts';
import { proposeRepairs, type Proposal } from '../diagnosis/propose-repairs.ts';
import {
  isWithoutSteps,
  plannedAsJson,
  reportRepairs,
  sayPlanned,
  type LeftRepair,
  type PlannedRepair,
  type RepairsDone,
} from '../diagnosis/repairs-summary.ts';
import { requirePermitted } from '../diagnosis/require-permitted.ts';
import { requireSoundHardware } from '../diagnosis/sound-hardware.ts';
import { exitStatus } from '../exit-status.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { confirmOrder } from '../orders/confirm-order.ts';
import type { OrderOptions } from '../orders/order-job.ts';
import { readOrderOptions } from '../orders/order-options.ts';
import { prepareOrder, type Preparation } from '../orders/prepare-order.ts';
import { targetOfPlan } from '../orders/read-plan.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatCount } from '../output/time-text.ts';
import { requireAction } from './actions.ts';
import { orderDiagnosis } from './diagnose.ts';
import { makePlan, showPlan, type MadePlan, type PlanOptions } from './plan.ts';
import { followOrder, type FollowedOrder } from './order-and-follow.ts';

export interface FromFindingsOptions extends PlanOptions {
  yes?: boolean;
  acceptClassC?: boolean;
}

const DIAGNOSIS = 'diagnostics.collect';

interface Proposed {
  server: string;
  diagnosis: string;
  found: DiagnosticsResult;
  proposals: Proposal[];
  orderOptions: OrderOptions;
  /** The options of it all, for commands to copy. */
  words: readonly string[];
}

/** `intervene plan SERVER --from-findings`: what the repairs of all findings would do; changes nothing. */
export async function planFromFindings(
  context: CommandContext,
  server: string,
  options: FromFindingsOptions,
): Promise<number> {
  const { terminal } = context;
  const proposed = await propose(context, server, 'plan', options);
  if (proposed === null) return exitStatus.failed;
  const planned: PlannedRepair[] = [];
  for (const [at, proposal] of proposed.proposals.entries()) {
    sayProposal(context, proposed, at);
    const preparation = await prepareOrder(context, proposed.server, proposal.action, options.key);
    const { followed, plan, ordered } = await planOf(context, preparation, proposed, proposal);
    planned.push({ proposal, job: followed.job, plan });
    if (terminal.json) continue;
    if (plan === null) await reportOutcome(context, followed, ordered);
    else {
      await showPlan(context, plan, proposal.action, proposed.server, 'out', followed.job.name);
    }
  }
  if (terminal.json) {
    terminal.printJson({ diagnosis: proposed.diagnosis, repairs: planned.map(plannedAsJson) });
  } else sayPlanned(terminal, proposed, planned);
  const isComplete = planned.every(({ plan }) => plan !== null && !isWithoutSteps(plan.plan));
  return isComplete ? exitStatus.succeeded : exitStatus.failed;
}

/**
 * `intervene run SERVER --from-findings`: each repair is planned on what the ones before have left, shown,
 * asked about, and carried out; the first that does not succeed is the last.
 */
export async function runFromFindings(
  context: CommandContext,
  server: string,
  options: FromFindingsOptions,
): Promise<number> {
  const { terminal } = context;
  const proposed = await propose(context, server, 'apply', options);
  if (proposed === null) return exitStatus.failed;
  const progress: RepairsDone = { done: [], left: [], begun: 0 };
  try {
    for (const [at, proposal] of proposed.proposals.entries()) {
      sayProposal(context, proposed, at);
      const planning = await prepareOrder(context, proposed.server, proposal.action, options.key);
      progress.begun++;
      const carriedOut = await carryOut(context, planning, proposed, proposal, options);
      const { status, job, unchanged } = carriedOut;
      if (status !== exitStatus.succeeded) return status;
      if (unchanged === null) progress.done.push(job);
      else progress.left = [...progress.left, { proposal, job, plan: unchanged }];
    }
    if (progress.done.length > 0) await settleLeft(context, proposed, progress, options);
  } catch (error) {
    throw afterRepairs(error, proposed, progress.done);
  } finally {
    await reportRepairs(terminal, proposed.proposals, progress);
  }
  if (proposed.proposals.length > 0) {
    terminal.sayNext(lookAgain(proposed).command, { label: 'Look again' });
  }
  return progress.left.length === 0 ? exitStatus.succeeded : exitStatus.failed;
}

/** Looks again for what plans without a step were for: a repair before them may have mended it. */
async function settleLeft(
  context: CommandContext,
  { server, found, orderOptions }: Proposed,
  progress: RepairsDone,
  { key }: FromFindingsOptions,
): Promise<void> {
  const findings = progress.left.flatMap(({ proposal }) => proposal.findings);
  if (findings.length === 0) return;
  const areas = [...new Set(findings.map(({ area }) => area))];
  const preparation = await prepareOrder(context, server, requireAction(DIAGNOSIS), key);
  const { result } = await orderDiagnosis(context, preparation, { areas }, orderOptions);
  if (result === null) return;
  const gone = new Set(compareDiagnoses(found, result, areas).gone.map(keyOf));
  const isMended = ({ proposal }: LeftRepair) =>
    proposal.findings.every((finding) => gone.has(keyOf(finding)));
  progress.done.push(...progress.left.filter(isMended).map(({ job }) => job));
  progress.left = progress.left.filter((left) => !isMended(left));
}

interface CarriedOut extends FollowedOrder {
  /** The plan where it has no step: then nothing was changed. */
  unchanged: Plan | null;
}

/** One repair to its end; the job is the one that changed something, or found that nothing is to be changed. */
async function carryOut(
  context: CommandContext,
  planning: Preparation,
  proposed: Proposed,
  proposal: Proposal,
  options: FromFindingsOptions,
): Promise<CarriedOut> {
  const { action, parameters } = proposal;
  const { plan, followed, ordered } = await planOf(context, planning, proposed, proposal);
  const { name } = followed.job;
  if (plan === null) {
    const status = await reportOutcome(context, followed, ordered);
    return { status, job: name, unchanged: null };
  }
  await showPlan(context, plan, action, proposed.server, 'talk', name);
  if (isWithoutSteps(plan.plan)) {
    return { status: exitStatus.succeeded, job: name, unchanged: plan.plan };
  }
  const preparation = await prepareOrder(context, proposed.server, action, options.key);
  await confirmOrder(context, {
    action,
    class: orderClass(action, 'apply'),
    server: preparation.server.name,
    yes: options.yes === true,
    planNamed: options.acceptClassC === true,
    flags: action.class === 'C' ? '--yes --accept-class-c' : '--yes',
    what: `Apply this plan on ${preparation.server.name}`,
  });
  const done = await followOrder(
    context,
    preparation,
    { action, mode: 'apply', parameters, plan: plan.digest, target: targetOfPlan(plan.plan) },
    proposed.orderOptions,
  );
  return { ...done, unchanged: null };
}

/**
 * Null when nothing may be proposed, which has been said. Throws where one of the repairs could not be ordered in
 * this mode, before any is.
 */
async function propose(
  context: CommandContext,
  server: string,
  mode: 'plan' | 'apply',
  options: FromFindingsOptions,
): Promise<Proposed | null> {
  const { terminal } = context;
  const action = requireAction(DIAGNOSIS);
  const orderOptions = readOrderOptions(options, action);
  const preparation = await prepareOrder(context, server, action, options.key);
  const diagnosed = await orderDiagnosis(context, preparation, {}, orderOptions);
  if (diagnosed.result === null) {
    await reportOutcome(context, diagnosed.followed, diagnosed.ordered);
    return null;
  }
  const { findings } = diagnosed.result;
  const { ticket, words } = diagnosed.ordered;
  requireSoundHardware(findings, preparation.server.name, words);
  const proposals = proposeRepairs(findings, orderOptions.target);
  const without = findings.filter(
    (finding) => !proposals.some((proposal) => proposal.findings.includes(finding)),
  );
  if (!terminal.json) {
    terminal.say(
      glyph('info', '·'),
      `${formatCount(findings.length, 'finding')} in ${diagnosed.followed.job.name}, ` +
        `${formatCount(proposals.length, 'repair')}`,
      without.length === 0
        ? ''
        : styled('muted', `; ${without.length} without one: intervene diagnose says what to do`),
    );
  }
  const proposed = {
    server: preparation.server.name,
    diagnosis: diagnosed.followed.job.name,
    found: diagnosed.result,
    proposals,
    orderOptions,
    words,
  };
  await requirePermitted(context, preparation, { proposals, mode, options: orderOptions, ticket });
  if (mode === 'apply') requireConsent(proposed, options);
  return proposed;
}

function planOf(
  context: CommandContext,
  preparation: Preparation,
  { orderOptions: options }: Proposed,
  { action, parameters }: Proposal,
): Promise<MadePlan> {
  return makePlan(context, preparation, { action, parameters, options, jsonLines: false });
}

function requireConsent(
  { server, proposals, words }: Proposed,
  options: FromFindingsOptions,
): void {
  if (options.yes !== true || options.acceptClassC === true) return;
  const ids = proposals.filter(({ action }) => action.class === 'C').map(({ action }) => action.id);
  if (ids.length === 0) return;
  throw usageError(
    `Of class C: ${[...new Set(ids)].join(', ')}. --yes needs --accept-class-c too, after you have read ` +
      'what plan --from-findings prints.',
    [
      {
        label: 'read what would be done',
        command: commandText(['intervene', 'plan', server, '--from-findings', ...words]),
      },
    ],
    'needs_plan',
  );
}

function lookAgain({ server, words }: Proposed): NextStep {
  return { label: 'look again', command: commandText(['intervene', 'diagnose', server, ...words]) };
}

/** The same error where repairs were carried out before it: what it says of itself is not all that happened. */
function afterRepairs(error: unknown, proposed: Proposed, done: readonly string[]): unknown {
  if (!(error instanceof CliError) || done.length === 0) return error;
  const { code, message: happened, exitStatus: status, next, cause } = error;
  return new CliError({
    ...{ code, happened, exitStatus: status, cause },
    safe: `The repairs before it stay as they are: ${done.join(', ')}. Each can be taken back with jobs undo.`,
    next: [...next, lookAgain(proposed)],
  });
}

function sayProposal(context: CommandContext, { proposals }: Proposed, at: number): void {
  if (context.terminal.json) return;
  const { action, findings } = proposals[at]!;
  context.terminal.say('');
  context.terminal.say(
    styled('bold', `Repair ${at + 1} of ${proposals.length}: ${action.id}`),
    styled('muted', `  for ${[...new Set(findings.map(({ rule }) => rule))].join(', ')}`),
  );
}
