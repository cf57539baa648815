import { findAction } from '../../../proto/actions/catalogue.ts';
import { commandText, shell } from '../../../proto/documents/command-text.ts';
import type { JobBody } from '../api/bodies.ts';
import type { NextStep } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatusOfJob } from '../exit-status.ts';
import { sayParts } from '../output/error-report.ts';
import { jobStateTexts } from '../output/job-states.ts';
import { describeRefusal } from '../output/refusal-sentences.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Style } from '../output/terminal.ts';
import { formatCount, formatDuration } from '../output/time-text.ts';
import type { FollowedJob } from './follow-job.ts';
import { sayPackages } from './package-outcome.ts';
import { reportService } from './service-report.ts';

/** How file systems are said to be; results that are never mixed up, and the tool's own failure. */
const filesystemOutcomes: Record<string, { word: string; glyph: string; style: Style }> = {
  clean: { word: 'Clean', glyph: '✓', style: 'ok' },
  corrected: { word: 'Corrected', glyph: '✓', style: 'info' },
  errors_left: { word: 'Errors left', glyph: '✗', style: 'bad' },
  journal_pending: { word: 'Not unmounted', glyph: '!', style: 'warn' },
  tool_too_old: { word: 'Tool too old', glyph: '!', style: 'warn' },
  restored: { word: 'As before the repair', glyph: '✓', style: 'ok' },
  operational_error: { word: 'The tool could not do its work', glyph: '✗', style: 'bad' },
};

/** Says how a job ended: what happened, what is safe, what comes next. Returns the exit status. */
export async function reportOutcome(
  context: CommandContext,
  followed: FollowedJob,
  ticket: string,
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
  else sayTrouble(context, job, ticket, status);
  return status;
}

function saySuccess(context: CommandContext, followed: FollowedJob): void {
  const { terminal } = context;
  const { job } = followed;
  if (!sayPackages(context, job)) sayFilesystem(context, job);
  reportService(context, job);
  terminal.say(
    glyph('ok', '✓'),
    styled('bold', `Succeeded${tookText(job)}`),
    ` · ${job.name}${digestText(followed)}`,
  );
  if (job.mode === 'apply' && job.undoesJobId === null && canBeUndone(job)) {
    terminal.sayNext(shell`intervene jobs undo ${job.name}`, { label: 'Undo' });
  }
}

function sayTrouble(context: CommandContext, job: JobBody, ticket: string, status: number): void {
  const { terminal } = context;
  if (!sayPackages(context, job)) sayFilesystem(context, job);
  reportService(context, job);
  const { word } = jobStateTexts[job.state];
  const reason = job.reason === null ? '' : `: ${job.reason}`;
  const { happened, safe, next } = describeTrouble(job, ticket);
  sayParts(terminal, `${word}${reason}   exit ${status}`, happened, safe, next);
}

/** The three parts for every state that is no success. */
export function describeTrouble(
  job: JobBody,
  ticket: string,
): { happened: string; safe: string; next: NextStep[] } {
  const show = { label: 'see all of it', command: shell`intervene jobs show ${job.name}` };
  const log = { label: 'read its log', command: shell`intervene logs ${job.name}` };
  const again = {
    label: 'order it again',
    command: shell`intervene run ${job.serverName} ${job.action}`,
  };
  const planAgain = {
    label: 'plan again',
    command: commandText([
      ...['intervene', 'plan', job.serverName, job.action],
      ...Object.entries(job.parameters).flatMap(([name, value]) => [
        '--param',
        `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
      ]),
    ]),
  };
  const undo = { label: 'take back what it did', command: shell`intervene jobs undo ${job.name}` };
  const detail = job.detail === '' ? '' : ` ${job.detail}`;
  const cause = job.state === 'failed' ? asSentence(causeOf(job)) : '';
  const goOn =
    job.action === 'packages.install' && job.mode !== 'plan'
      ? [
          {
            label: 'finish what was cut off',
            command: shell`intervene run ${job.serverName} packages.repair`,
          },
        ]
      : [];
  switch (job.state) {
    case 'refused':
      return describeRefusal(job.reason, job.detail, {
        job: job.name,
        server: job.serverName,
        action: job.action,
        ticket: ticket === '' ? 'TICKET' : ticket,
      });
    case 'failed':
      if (job.reason === 'path_refused') {
        return {
          happened: `The job names a path that no job may have; its log says why.${cause}`,
          safe: 'Nothing was started, and nothing was changed.',
          next: [log],
        };
      }
      if (isStale(job)) {
        return {
          happened: `${workText(job)} did not begin: what it was made for has changed since.${cause}`,
          safe: 'Nothing was changed.',
          next: job.mode === 'undo' ? [show] : [planAgain, show],
        };
      }
      return {
        happened:
          job.exitStatus === null
            ? `${workText(job)} failed.${cause}`
            : `${job.action} on ${job.serverName} ended with status ${job.exitStatus}.${cause}`,
        safe: safeText(job),
        next: canBeUndone(job) ? [undo, ...goOn, show] : [log],
      };
    case 'cancelled':
      return {
        happened: `The job was stopped before its end.${detail}`,
        safe: safeText(job),
        next: canBeUndone(job) ? [undo, show] : [show],
      };
    case 'timed_out':
      return {
        happened: `The job took longer than its order allows and was stopped.${detail}`,
        safe: safeText(job),
        next: canBeUndone(job) ? [undo, show] : [{ ...again, label: 'with more time: --timeout' }],
      };
    case 'interrupted':
      if (job.reason === 'locked') {
        return {
          happened: `The administrator of ${job.serverName} locked it, which kills every job at once.${detail}`,
          safe: 'What its last step did may be half-written. It will not run again by itself.',
          next: [show],
        };
      }
      return {
        happened: `The runner of the job died; what its last step did is not known.${detail}`,
        safe: `It will not run again by itself.${job.planDigest === null ? '' : ' Backups of its steps are kept on the server.'}`,
        next: canBeUndone(job) ? [undo, ...goOn, show, again] : [show, again],
      };
    case 'expired':
      if (job.reason === 'signatures_missing') {
        return {
          happened: `Too few engineers signed in time: ${job.signedBy.length} of ${job.engineersNeeded}.`,
          safe: 'Nothing was started, and nothing will be.',
          next: [again],
        };
      }
      return {
        happened: `${job.serverName} did not take the order before it ran out.${detail}`,
        safe: 'Nothing was started, and nothing will be.',
        next: [
          {
            label: 'see whether its agent is there',
            command: shell`intervene servers show ${job.serverName}`,
          },
          again,
        ],
      };
    case 'abandoned':
      return {
        happened: `The job was closed without an answer; how it ended is not known.${detail}`,
        safe: 'If the agent comes back, its receipt corrects this.',
        next: [show],
      };
    default:
      return {
        happened: `The job is ${jobStateTexts[job.state].word.toLowerCase()}; how it ends is not known here.${detail}`,
        safe: 'It goes on by itself.',
        next: [{ label: 'follow', command: shell`intervene logs ${job.name} --follow` }],
      };
  }
}

/** Why it failed, as far as the agent says: in its receipt, or in the detail of its result. Empty when it does not. */
export function causeOf({ detail, result }: JobBody): string {
  if (detail !== '') return detail;
  const own = (result as { detail?: unknown } | null)?.detail;
  return typeof own === 'string' ? own : '';
}

function asSentence(cause: string): string {
  if (cause === '') return '';
  return ` ${cause}${/[.!?]$/.test(cause) ? '' : '.'}`;
}

/** The agent found it changed before its first write: a plan out of date, or an undo somebody overtook. */
function isStale({ reason }: JobBody): boolean {
  return reason === 'changed_since_plan' || reason === 'changed_since';
}

function workText({ mode, action, serverName }: JobBody): string {
  if (mode === 'plan') return `Planning ${action} on ${serverName}`;
  return mode === 'undo' ? `Taking back ${action} on ${serverName}` : `${action} on ${serverName}`;
}

function sayFilesystem(context: CommandContext, job: JobBody): void {
  const result = job.result as { outcome?: unknown; detail?: unknown; problems?: unknown } | null;
  if (typeof result?.outcome !== 'string') return;
  const known = filesystemOutcomes[result.outcome];
  if (known === undefined) return;
  const problems =
    typeof result.problems === 'number' && result.problems > 0
      ? `${formatCount(result.problems, 'problem')} reported`
      : '';
  const detail = typeof result.detail === 'string' ? result.detail : '';
  if (job.mode === 'undo' && result.outcome !== 'restored') {
    // An agent from before there was that word; its own words say what it put back.
    if (detail !== '') context.terminal.say(detail);
    return;
  }
  const more = [problems, detail].filter(Boolean).join('; ');
  context.terminal.say(
    glyph(known.style, known.glyph),
    styled(known.style, known.word),
    more === '' ? '' : `: ${more}`,
  );
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

function safeText(job: JobBody): string {
  if (job.mode === 'plan' || job.class === 'A') return 'Nothing was changed.';
  if (isRolledBack(job)) return 'It has put back everything as it was; nothing is left to undo.';
  return canBeUndone(job)
    ? 'What its steps changed was saved first and can be put back.'
    : 'Its log and its result are stored.';
}

/** Whether the job has put back by itself all that it did. */
function isRolledBack({ result, reason }: JobBody): boolean {
  const outcome = (result as { outcome?: unknown } | null)?.outcome;
  return outcome === 'rolled_back' && reason !== 'rollback_incomplete';
}

/** Whether an undo may be offered: only what was planned has saved what it changed. */
function canBeUndone(job: JobBody): boolean {
  if (isRolledBack(job)) return false;
  // The digest of a plan stands at the job that made it; the catalogue tells what is planned.
  const action = findAction(job.action);
  if (action === undefined || !action.plans || action.undo === 'none') return false;
  return job.mode === 'apply' && job.undoneByJobId === null;
}
