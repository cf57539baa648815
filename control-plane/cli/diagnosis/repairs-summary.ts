import { commandText, shell } from '../../../proto/documents/command-text.ts';
import type { JobBody } from '../api/bodies.ts';
import { causeOf } from '../jobs/job-trouble.ts';
import { shortDigest, type ReadPlan } from '../orders/read-plan.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Terminal } from '../output/terminal.ts';
import type { Proposal } from './propose-repairs.ts';

export interface PlannedRepair {
  proposal: Proposal;
  job: JobBody;
  /** Null where it could not be planned. */
  plan: ReadPlan | null;
}

/** Ends `plan --from-findings`: what carries the repairs out, or which of them could not be planned and why. */
export function sayPlanned(
  terminal: Terminal,
  server: string,
  planned: readonly PlannedRepair[],
  target: readonly string[],
): void {
  if (planned.length === 0) return;
  const unplanned = planned.filter(({ plan }) => plan === null);
  if (unplanned.length === 0) {
    terminal.sayNext(commandText(['intervene', 'run', server, '--from-findings', ...target]), {
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
    if (plan === null || plan.plan.steps.length === 0) continue;
    terminal.sayNext(
      shell`intervene run ${server} ${proposal.action.id} --plan ${shortDigest(plan.digest)}`,
      { label: 'Carry out what was planned' },
    );
  }
}

/** What `run --from-findings` has done; grows as it goes. */
export interface RepairsDone {
  /** Names of the jobs that succeeded, in order: those that changed something, or found nothing to change. */
  done: string[];
  /** How many repairs were begun. */
  begun: number;
}

/** Ends `run --from-findings`, also where it stops before its end. */
export async function reportRepairs(
  terminal: Terminal,
  proposals: readonly Proposal[],
  { done, begun }: RepairsDone,
): Promise<void> {
  const isStopped = done.length < proposals.length;
  const notBegun = proposals.slice(begun).map(({ action }) => action.id);
  if (terminal.json) {
    const stoppedAt = isStopped ? begun : null;
    await terminal.printJsonLine({
      type: 'repairs',
      of: proposals.length,
      stoppedAt,
      done,
      notBegun,
    });
    return;
  }
  if (!isStopped) return;
  terminal.say('');
  terminal.say(
    glyph('warn', '!'),
    styled('bold', `Stopped at ${begun} of ${proposals.length}`),
    `, ${proposals[begun - 1]?.action.id ?? ''}; done: ${done.join(', ') || 'none'}`,
    `; not begun: ${notBegun.length === 0 ? 'none' : `${notBegun.length} (${notBegun.join(', ')})`}`,
  );
}
