import { commandText } from '../../../proto/documents/command-text.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import type { JobBody } from '../api/bodies.ts';
import { causeOf } from '../jobs/job-trouble.ts';
import type { OrderOptions } from '../orders/order-job.ts';
import { runPlanText } from '../orders/order-options.ts';
import type { ReadPlan } from '../orders/read-plan.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Terminal } from '../output/terminal.ts';
import type { Proposal } from './propose-repairs.ts';

export interface PlannedRepair {
  proposal: Proposal;
  job: JobBody;
  /** Null where it could not be planned. */
  plan: ReadPlan | null;
}

/** A repair whose plan changes nothing, though what it is for is still there. */
export interface LeftRepair {
  proposal: Proposal;
  /** Name of the job that planned it. */
  job: string;
  plan: Plan;
}

/** Whether nothing would be changed by it. */
export function isWithoutSteps({ steps }: Plan): boolean {
  return steps.length === 0;
}

/** What a person has to do or say, in the words of the plan and the findings. */
function sayLeft(terminal: Terminal, left: readonly LeftRepair[], of: number): void {
  if (left.length === 0) return;
  terminal.say('');
  terminal.say(glyph('warn', '!'), styled('bold', `Left to a person: ${left.length} of ${of}`));
  for (const { proposal, job, plan } of left) {
    terminal.say(`  ${proposal.action.id} (${job})  ${plan.summary}`);
    for (const needed of plan.findings) terminal.say(`    ${needed}`);
    for (const { rule, subject, byHand } of proposal.findings) {
      terminal.say(styled('muted', `    ${rule} ${subject}, by hand: `), byHand);
    }
  }
}

function leftAsJson({ proposal: { action, parameters, findings }, job, plan }: LeftRepair): object {
  return {
    action: action.id,
    parameters,
    findings: findings.map(({ rule, subject }) => ({ rule, subject })),
    job,
    detail: plan.summary,
    needed: plan.findings,
  };
}

/** A planned repair as `plan --from-findings --json` prints it. */
export function plannedAsJson({ proposal, job, plan }: PlannedRepair): object {
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

/** What repairs were planned for. */
export interface PlannedFor {
  server: string;
  orderOptions: OrderOptions;
  /** The options of it all, for commands to copy. */
  words: readonly string[];
}

/** Ends `plan --from-findings`: what carries the repairs out, or which of them could not be planned and why. */
export function sayPlanned(
  terminal: Terminal,
  { server, orderOptions, words }: PlannedFor,
  planned: readonly PlannedRepair[],
): void {
  if (planned.length === 0) return;
  const unplanned = planned.filter(({ plan }) => plan === null);
  const left = planned.flatMap(({ proposal, job, plan }) =>
    plan !== null && isWithoutSteps(plan.plan)
      ? [{ proposal, job: job.name, plan: plan.plan }]
      : [],
  );
  sayLeft(terminal, left, planned.length);
  if (unplanned.length === 0) {
    if (left.length === planned.length) return;
    terminal.sayNext(commandText(['intervene', 'run', server, '--from-findings', ...words]), {
      label: 'Carry them out, one after the other, each planned again',
    });
    return;
  }
  terminal.say('');
  terminal.say(
    glyph('bad', '✗'),
    styled('bold', `Not planned: ${unplanned.length} of ${planned.length}`),
  );
  for (const { proposal, job } of unplanned) {
    const why = [job.reason, causeOf(job)].filter(Boolean).join(': ');
    terminal.say(`  ${proposal.action.id} (${job.name})  ${why === '' ? job.state : why}`);
  }
  for (const { proposal, plan } of planned) {
    if (plan === null || isWithoutSteps(plan.plan)) continue;
    terminal.sayNext(runPlanText(server, proposal.action, plan, orderOptions), {
      label: 'Carry out what was planned',
    });
  }
}

/** What `run --from-findings` has done; grows as it goes. */
export interface RepairsDone {
  /** Names of the jobs that changed something, or found that a repair before them had. */
  done: string[];
  left: readonly LeftRepair[];
  /** How many repairs were begun. */
  begun: number;
}

/** Ends `run --from-findings`, also where it stops before its end. */
export async function reportRepairs(
  terminal: Terminal,
  proposals: readonly Proposal[],
  { done, left, begun }: RepairsDone,
): Promise<void> {
  const settled = done.length + left.length;
  const isStopped = settled < proposals.length;
  const notBegun = proposals.slice(begun).map(({ action }) => action.id);
  if (terminal.json) {
    const stoppedAt = isStopped ? settled + 1 : null;
    await terminal.printJsonLine({
      type: 'repairs',
      of: proposals.length,
      stoppedAt,
      done,
      left: left.map(leftAsJson),
      notBegun,
    });
    return;
  }
  sayLeft(terminal, left, proposals.length);
  if (!isStopped) return;
  terminal.say('');
  terminal.say(
    glyph('warn', '!'),
    styled('bold', `Stopped at ${settled + 1} of ${proposals.length}`),
    `, ${proposals[settled]?.action.id ?? ''}; done: ${done.join(', ') || 'none'}`,
    `; not begun: ${notBegun.length === 0 ? 'none' : `${notBegun.length} (${notBegun.join(', ')})`}`,
  );
}
