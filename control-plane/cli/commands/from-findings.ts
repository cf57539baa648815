import {
  failingHardware,
  type DiagnosticsResult,
  type Finding,
} from '../../../proto/actions/diagnostics.ts';
import { commandText, shell } from '../../../proto/documents/command-text.ts';
import { orderClass } from '../../../proto/documents/coverage.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { compareDiagnoses, keyOf } from '../diagnosis/compare-diagnoses.ts';
import { proposeRepairs, type Proposal } from '../diagnosis/propose-repairs.ts';
import {
  isWithoutSteps,
  reportRepairs,
  sayPlanned,
  type LeftRepair,
  type PlannedRepair,
  type RepairsDone,
} from '../diagnosis/repairs-summary.ts';
import { exitStatus } from '../exit-status.ts';
import { causeOf } from '../jobs/job-trouble.ts';
import { reportOutcome } from '../jobs/outcome-card.ts';
import { confirmOrder } from '../orders/confirm-order.ts';
import type { OrderOptions } from '../orders/order-job.ts';
import { readOrderOptions, targetWords } from '../orders/order-options.ts';
import { prepareOrder } from '../orders/prepare-order.ts';
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
  target: Order['target'];
  orderOptions: OrderOptions;
}

/** `intervene plan SERVER --from-findings`: what the repairs of all findings would do; changes nothing. */
export async function planFromFindings(
  context: CommandContext,
  server: string,
  options: FromFindingsOptions,
): Promise<number> {
  const { terminal } = context;
  const proposed = await propose(context, server, options);
  if (proposed === null) return exitStatus.failed;
  const planned: PlannedRepair[] = [];
  for (const [at, proposal] of proposed.proposals.entries()) {
    sayProposal(context, proposed, at);
    const { followed, plan, ticket } = await planOf(context, proposed, proposal, options);
    planned.push({ proposal, job: followed.job, plan });
    if (terminal.json) continue;
    if (plan === null) await reportOutcome(context, followed, ticket);
    else {
      await showPlan(context, plan, proposal.action, proposed.server, 'out', followed.job.name);
    }
  }
  if (terminal.json) {
    terminal.printJson({ diagnosis: proposed.diagnosis, repairs: planned.map(asJson) });
  } else sayPlanned(terminal, proposed.server, planned, targetWords(proposed.target));
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
  const proposed = await propose(context, server, options);
  if (proposed === null) return exitStatus.failed;
  const progress: RepairsDone = { done: [], left: [], begun: 0 };
  try {
    for (const [at, proposal] of proposed.proposals.entries()) {
      sayProposal(context, proposed, at);
      progress.begun++;
      const { status, job, unchanged } = await carryOut(context, proposed, proposal, options);
      if (status !== exitStatus.succeeded) return status;
      if (unchanged === null) progress.done.push(job);
      else progress.left = [...progress.left, { proposal, job, plan: unchanged }];
    }
    if (progress.done.length > 0) await settleLeft(context, proposed, progress, options);
  } finally {
    await reportRepairs(terminal, proposed.proposals, progress);
  }
  if (proposed.proposals.length > 0) {
    terminal.sayNext(
      commandText(['intervene', 'diagnose', proposed.server, ...targetWords(proposed.target)]),
      { label: 'Look again' },
    );
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
  proposed: Proposed,
  proposal: Proposal,
  options: FromFindingsOptions,
): Promise<CarriedOut> {
  const { action, parameters } = proposal;
  requireConsent(proposal, options);
  const { plan, followed, ticket } = await planOf(context, proposed, proposal, options);
  const { name } = followed.job;
  if (plan === null) {
    const status = await reportOutcome(context, followed, ticket);
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

/** Null when nothing may be proposed, which has been said. */
async function propose(
  context: CommandContext,
  server: string,
  options: FromFindingsOptions,
): Promise<Proposed | null> {
  const { terminal } = context;
  const action = requireAction(DIAGNOSIS);
  const orderOptions = readOrderOptions(options, action);
  const preparation = await prepareOrder(context, server, action, options.key);
  const diagnosed = await orderDiagnosis(context, preparation, {}, orderOptions);
  if (diagnosed.result === null) {
    await reportOutcome(context, diagnosed.followed, diagnosed.ticket);
    return null;
  }
  const { findings } = diagnosed.result;
  requireSoundHardware(findings, preparation.server.name);
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
  return {
    server: preparation.server.name,
    diagnosis: diagnosed.followed.job.name,
    found: diagnosed.result,
    proposals,
    target: orderOptions.target,
    orderOptions,
  };
}

function asJson({ proposal, job, plan }: PlannedRepair): object {
  const isLeft = plan !== null && isWithoutSteps(plan.plan);
  return {
    action: proposal.action.id,
    parameters: proposal.parameters,
    findings: proposal.findings.map(({ rule, subject }) => ({ rule, subject })),
    job: job.name,
    plan: plan === null ? null : { digest: plan.digest, steps: plan.plan.steps.length },
    reason: job.reason,
    leftToPerson: isLeft,
    detail: isLeft ? plan.plan.summary : causeOf(job),
  };
}

async function planOf(
  context: CommandContext,
  { server, target, orderOptions }: Proposed,
  { action, parameters }: Proposal,
  options: FromFindingsOptions,
): Promise<MadePlan> {
  const preparation = await prepareOrder(context, server, action, options.key);
  return makePlan(context, preparation, {
    action,
    parameters,
    options: { ...orderOptions, target },
    jsonLines: false,
  });
}

function requireSoundHardware(findings: readonly Finding[], server: string): void {
  const [failing] = failingHardware(findings);
  if (failing === undefined) return;
  throw new CliError({
    code: 'hardware_failing',
    happened: `${failing.title}. Nothing is repaired on hardware that fails: every write may cost data.`,
    safe: 'Nothing was ordered.',
    next: [{ label: 'read the findings', command: shell`intervene diagnose ${server}` }],
    exitStatus: exitStatus.failed,
  });
}

/** Before anything of it is ordered. */
function requireConsent({ action }: Proposal, options: FromFindingsOptions): void {
  if (options.yes !== true || action.class !== 'C' || options.acceptClassC === true) return;
  throw usageError(
    `${action.id} is of class C: --yes needs --accept-class-c too, after you have read what ` +
      'plan --from-findings prints.',
    [],
    'needs_plan',
  );
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
