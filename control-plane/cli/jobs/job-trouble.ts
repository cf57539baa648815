import { commandText, shell } from '../../../proto/documents/command-text.ts';
import type { JobBody } from '../api/bodies.ts';
import type { NextStep } from '../cli-error.ts';
import { jobStateTexts } from '../output/job-states.ts';
import { describeRefusal } from '../output/refusal-sentences.ts';
import type { OrderedWith } from '../orders/order-options.ts';
import { paramWords } from '../orders/parameters.ts';
import { canBeUndone, isRolledBack } from './undo-offer.ts';

/** The three parts for every state that is no success. */
export function describeTrouble(
  job: JobBody,
  { ticket, words }: OrderedWith,
): { happened: string; safe: string; next: NextStep[] } {
  const show = { label: 'see all of it', command: shell`intervene jobs show ${job.name}` };
  const log = { label: 'read its log', command: shell`intervene logs ${job.name}` };
  const said = [...paramWords(job.parameters), ...words];
  const command = (verb: string, action = job.action, more: readonly string[] = said) =>
    commandText(['intervene', verb, job.serverName, action, ...more]);
  const again = { label: 'order it again', command: command('run') };
  const planAgain = { label: 'plan again', command: command('plan') };
  const undo = { label: 'take back what it did', command: shell`intervene jobs undo ${job.name}` };
  const detail = job.detail === '' ? '' : ` ${job.detail}`;
  const cause = job.state === 'failed' ? asSentence(causeOf(job)) : '';
  const goOn =
    job.action === 'packages.install' && job.mode !== 'plan'
      ? [
          {
            label: 'finish what was cut off',
            command: command('run', 'packages.repair', words),
          },
        ]
      : [];
  switch (job.state) {
    case 'refused':
      return describeRefusal(job.reason, job.detail, {
        job: job.name,
        server: job.serverName,
        action: job.action,
        words: said,
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
        next: canBeUndone(job) ? [undo, ...goOn, show] : logSaysMore(job) ? [log] : [],
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

/** Whether the log holds more than the cause that stands here: the agent's own notes are no lines. */
function logSaysMore(job: JobBody): boolean {
  return job.log.lines > 0 || causeOf(job) === '';
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

function safeText(job: JobBody): string {
  if (job.mode === 'plan' || job.class === 'A') return 'Nothing was changed.';
  if (isRolledBack(job)) return 'It has put back everything as it was; nothing is left to undo.';
  return canBeUndone(job)
    ? 'What its steps changed was saved first and can be put back.'
    : 'Its log and its result are stored.';
}
