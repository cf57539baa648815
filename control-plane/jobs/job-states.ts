import type { JobOutcome } from '../../proto/documents/kinds/receipt.ts';

/**
 * - `proposed`: waits for signatures
 * - `queued`: waits for its agent
 * - `delivered`: the agent has been sent it
 * - `running`: the agent has accepted it
 * - an outcome: the agent says how it ended
 * - `refused`: the agent said no, with a reason
 * - `expired`: the agent did not come in time
 * - `abandoned`: closed without the agent's word, which may still come
 */
export type JobState =
  | 'proposed'
  | 'queued'
  | 'delivered'
  | 'running'
  | JobOutcome
  | 'refused'
  | 'expired'
  | 'abandoned';

const outcomes = ['succeeded', 'failed', 'cancelled', 'timed_out', 'interrupted'] as const;

/** From each state to which. Nothing leaves a final state, but that an agent's word corrects `abandoned`. */
const transitions: Readonly<Record<JobState, readonly JobState[]>> = {
  proposed: ['queued', 'cancelled', 'expired'],
  queued: ['delivered', 'cancelled', 'expired'],
  delivered: ['running', 'refused', 'abandoned'],
  running: [...outcomes, 'abandoned'],
  succeeded: [],
  failed: [],
  cancelled: [],
  timed_out: [],
  interrupted: [],
  refused: [],
  expired: [],
  abandoned: ['running', 'refused', ...outcomes],
};

export const jobStates = Object.keys(transitions) as JobState[];

export function isFinal(state: JobState): boolean {
  return transitions[state].length === 0 || state === 'abandoned';
}

export function mayMove(from: JobState, to: JobState): boolean {
  return transitions[from].includes(to);
}

/** States from which a job may come to `to`. */
export function statesBefore(to: JobState): JobState[] {
  return jobStates.filter((from) => mayMove(from, to));
}
