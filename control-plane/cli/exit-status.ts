import type { JobState } from '../http/schemas.ts';

/** What the command's exit status says; the same for every command. */
export const exitStatus = {
  succeeded: 0,
  failed: 1,
  usage: 2,
  refused: 3,
  stopped: 4,
  unreachable: 5,
  interrupted: 6,
  left: 130,
} as const;

export const exitStatusMeanings: readonly (readonly [number, string])[] = [
  [
    exitStatus.succeeded,
    'succeeded; a check that found errors too: --json tells, in result.outcome',
  ],
  [exitStatus.failed, 'the job, the check or the request failed'],
  [exitStatus.usage, 'wrong usage, or a name that is not known'],
  [exitStatus.refused, 'refused: no authorization, policy or signature allows it'],
  [exitStatus.stopped, 'cancelled, or over its time limit'],
  [exitStatus.unreachable, 'unreachable, expired, or closed without an answer'],
  [exitStatus.interrupted, 'interrupted: the runner died, the last step is unknown'],
  [exitStatus.left, 'you stopped following; the job goes on'],
];

const byState: Record<JobState, number> = {
  succeeded: exitStatus.succeeded,
  failed: exitStatus.failed,
  refused: exitStatus.refused,
  cancelled: exitStatus.stopped,
  timed_out: exitStatus.stopped,
  expired: exitStatus.unreachable,
  abandoned: exitStatus.unreachable,
  interrupted: exitStatus.interrupted,
  // Nothing is known of how these end: never success.
  proposed: exitStatus.unreachable,
  queued: exitStatus.unreachable,
  delivered: exitStatus.unreachable,
  running: exitStatus.unreachable,
};

/** The exit status of a command that followed a job and last saw it in this state. */
export function exitStatusOfJob(state: JobState): number {
  return byState[state];
}
