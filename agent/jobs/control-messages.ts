import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import type { JobProgress } from './job.ts';
import type { SealedInputs } from './job-spec.ts';

export const CONTROL_SOCKET = 'control.sock';
export const SPEC_FILE = 'spec.json';
export const PLAN_FILE = 'plan';
export const SCRATCH_FOLDER = 'scratch';

export type StopMode = 'now' | 'after_step';

/** Times of a runner, in milliseconds; shorter only in tests. */
export interface RunnerTimings {
  /** From the polite signal to the one that cannot be ignored. */
  termGraceMs: number;
  /** From the order to stop now to the end of the job, whatever its action does. */
  stopWithinMs: number;
  /** How long a background process may hold a command's output open after the command ended. */
  drainMs: number;
  /** How long a job with `onDisconnect: stop` goes on without the control plane. */
  disconnectedMs: number;
}

export const runnerTimings: RunnerTimings = {
  termGraceMs: 2_000,
  stopWithinMs: 4_500,
  drainMs: 2_000,
  disconnectedMs: 60_000,
};

export interface StartMessage {
  type: 'start';
  sealedInputs: SealedInputs;
  /** Keys of the session of an interactive action, base64; see `proto/terminal/session-keys.ts`. */
  sessionKeys?: string;
  /** What the action declares for the time outside of its steps. */
  interrupt: ActionDeclaration['interrupt'];
  timings: RunnerTimings;
}

/** Agent to runner. */
export type RunnerCommand =
  | StartMessage
  | { type: 'stop'; mode: StopMode; why: string }
  | { type: 'connection'; connected: boolean }
  /** Ends a runner that has not started; one that has started goes on. */
  | { type: 'leave_unless_started' };

/** What is to be read in the job's folder. */
export interface RunnerPosition {
  started: boolean;
  logLength: number;
  records: number;
}

/** Runner to agent. */
export type RunnerEvent =
  | ({ type: 'hello'; progress: JobProgress | null } & RunnerPosition)
  | ({ type: 'grew' } & RunnerPosition)
  | ({ type: 'progress' } & JobProgress)
  /** A second `start`, or one that could not be carried out. */
  | { type: 'refused'; why: string }
  /** Answer to `stop`: whether the work ends now or goes on to the end of its step. */
  | { type: 'stopping'; mode: StopMode; bound: 'now' | 'step' };
