import { shell } from '../../../proto/documents/command-text.ts';
import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatusOfJob } from '../exit-status.ts';
import type { OrderedWith } from '../orders/order-options.ts';
import { sayParts } from '../output/error-report.ts';
import { jobStateTexts } from '../output/job-states.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatCount, formatDuration } from '../output/time-text.ts';
import { sayFilesystem } from './filesystem-outcome.ts';
import type { FollowedJob } from './follow-job.ts';
import { describeTrouble } from './job-trouble.ts';
import { sayPackages } from './package-outcome.ts';
import { sayService } from './service-report.ts';
import { canBeUndone } from './undo-offer.ts';

/** Says how a job ended: what happened, what is safe, what comes next. Returns the exit status. */
export async function reportOutcome(
  context: CommandContext,
  followed: FollowedJob,
  ordered: OrderedWith,
): Promise<number> {
  const { terminal } = context;
  const { job } = followed;
  const status = exitStatusOfJob(job.state);
  if (terminal.json) {
    await terminal.printJsonLine({
      type: 'result',
      at: job.endedAt ?? new Date(context.surroundings.now()).toISOString(),
      job: job.id,
      name: job.name,
      state: job.state,
      reason: job.reason,
      exitStatus: job.exitStatus,
      result: job.result ?? null,
      planDigest: job.planDigest,
      log: job.log,
      missingBytes: followed.missingBytes,
    });
    return status;
  }
  sayLogTrouble(context, followed);
  if (job.state === 'succeeded') saySuccess(context, followed);
  else sayTrouble(context, job, ordered, status);
  return status;
}

/** @param saidLater what follows it: a cause that stands there is not said twice */
function sayResult(context: CommandContext, job: JobBody, saidLater = ''): void {
  if (sayPackages(context, job, saidLater) || sayService(context, job, saidLater)) return;
  sayFilesystem(context, job, saidLater);
}

function saySuccess(context: CommandContext, followed: FollowedJob): void {
  const { terminal } = context;
  const { job } = followed;
  sayResult(context, job);
  terminal.say(
    glyph('ok', '✓'),
    styled('bold', `Succeeded${tookText(job)}`),
    ` · ${job.name}${digestText(followed)}`,
  );
  if (job.mode === 'apply' && job.undoesJobId === null && canBeUndone(job)) {
    terminal.sayNext(shell`intervene jobs undo ${job.name}`, { label: 'Undo' });
  }
}

function sayTrouble(
  context: CommandContext,
  job: JobBody,
  ordered: OrderedWith,
  status: number,
): void {
  const { terminal } = context;
  const { happened, safe, next } = describeTrouble(job, ordered);
  sayResult(context, job, happened);
  const { word } = jobStateTexts[job.state];
  const reason = job.reason === null ? '' : `: ${job.reason}`;
  sayParts(terminal, `${word}${reason}   exit ${status}`, happened, safe, next);
}

function sayLogTrouble(context: CommandContext, followed: FollowedJob): void {
  const { job, missingBytes, surplusBytes, digest } = followed;
  const warn = (text: string) => context.terminal.say(glyph('warn', '!'), styled('warn', text));
  if (missingBytes > 0) {
    warn(`${formatCount(missingBytes, 'byte')} of the log could not be had.`);
  }
  if (surplusBytes > 0) {
    warn(
      `${formatCount(surplusBytes, 'byte')} above were shown, then lost in a crash of the server.`,
    );
  }
  if (job.log.verified === false) {
    warn('The stored log differs from what the agent signed: do not rely on it.');
  } else if (isOther(followed) && missingBytes === 0 && surplusBytes === 0) {
    warn(`What came here (${digest}) is not the log the agent signed (${job.log.digest}).`);
  }
}

function isOther({ digest, job }: FollowedJob): boolean {
  return digest !== null && job.log.digest !== null && digest !== job.log.digest;
}

function digestText({ job, digest }: FollowedJob): string {
  const isSame = digest !== null && digest === job.log.digest;
  if (job.log.verified !== true) return isSame ? ' · log as the agent signed it' : '';
  return isSame ? ' · log digest equal on both ends and here' : ' · log digest equal on both ends';
}

function tookText(job: JobBody): string {
  if (job.startedAt === null || job.endedAt === null) return '';
  return ` in ${formatDuration(Date.parse(job.endedAt) - Date.parse(job.startedAt))}`;
}
