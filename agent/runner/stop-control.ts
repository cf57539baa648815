import type { PlanStep } from '../../proto/documents/kinds/plan.ts';
import type { StopMode } from '../jobs/control-messages.ts';

export type StopCause = 'cancelled' | 'timed_out';
type Interrupt = PlanStep['interrupt'];

export interface Stop {
  cause: StopCause;
  mode: StopMode;
  /** Reason code of the job's end. */
  why: string;
}

/** Thrown into an action that is to stop: by a step that may not begin, a command that may not start. */
export class StoppedError extends Error {
  override name = 'StoppedError';

  constructor() {
    super('The job was told to stop.');
  }
}

/** How long work that no plan gives a bound for may hold back a stop: the most that a plan may say. */
const UNPLANNED_BOUND_MS = 24 * 3600 * 1000;

/**
 * Decides what an order to stop means at this moment. `now` ends what may be interrupted now; what must
 * reach its end does, within its bound, and nothing begins after it. `after_step` lets every step end.
 */
export class StopControl {
  private readonly abort = new AbortController();
  private readonly outsideSteps: Interrupt;
  private readonly onEffective: () => void;
  private current: Interrupt | null = null;
  private request: Stop | null = null;
  private hasHeldBack = false;
  private isEnding = false;
  private boundMs = UNPLANNED_BOUND_MS;
  private bound: NodeJS.Timeout | null = null;
  private overran = false;

  /** `onEffective` is called once, when the work is to end within its bound. */
  constructor(outsideSteps: Interrupt, onEffective: () => void) {
    this.outsideSteps = outsideSteps;
    this.onEffective = onEffective;
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  get requested(): Stop | null {
    return this.request;
  }

  /** The stop that kept something from being done; null when the job did all it was to do. */
  get effective(): Stop | null {
    return this.abort.signal.aborted || this.hasHeldBack ? this.request : null;
  }

  /** Whether work that was to reach its end had to be ended at its bound. */
  get hasOverrun(): boolean {
    return this.overran;
  }

  /** Returns whether the work ends now or at the end of its step. `now` may follow `after_step`. */
  stop(stop: Stop): 'now' | 'step' {
    if (this.request === null || (this.request.mode === 'after_step' && stop.mode === 'now')) {
      this.request = stop;
    }
    return this.apply();
  }

  /** @param boundMs how long the step may hold back a stop; as long as any work when left out */
  enterStep(interrupt: Interrupt, boundMs: number = UNPLANNED_BOUND_MS): void {
    if (this.request !== null) this.holdBack();
    this.current = interrupt;
    this.boundMs = boundMs;
  }

  leaveStep(): void {
    this.close();
    this.current = null;
    this.boundMs = UNPLANNED_BOUND_MS;
    this.apply();
  }

  /** Waits for no bound any more. */
  close(): void {
    if (this.bound !== null) clearTimeout(this.bound);
    this.bound = null;
  }

  /** Throws when no command may start any more. */
  checkCommand(): void {
    if (this.isEnding) this.holdBack();
  }

  private holdBack(): never {
    this.hasHeldBack = true;
    throw new StoppedError();
  }

  private apply(): 'now' | 'step' {
    if (this.request === null || this.request.mode === 'after_step') return 'step';
    const interrupt = this.current ?? this.outsideSteps;
    if (interrupt === 'finish' && !this.isEnding) return this.awaitStep();
    this.abort.abort(new StoppedError());
    // A step that rolls back is told by its signal, and ends its own commands.
    if (interrupt === 'rollback' && !this.isEnding) return this.awaitStep();
    this.endWork();
    return 'now';
  }

  private awaitStep(): 'step' {
    this.bound ??= setTimeout(() => {
      this.overran = true;
      this.abort.abort(new StoppedError());
      this.endWork();
    }, this.boundMs);
    return 'step';
  }

  private endWork(): void {
    if (this.isEnding) return;
    this.close();
    this.isEnding = true;
    this.onEffective();
  }
}
