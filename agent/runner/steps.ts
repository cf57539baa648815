import type { PlanStep } from '../../proto/documents/kinds/plan.ts';
import type { JournalWriter } from '../jobs/journal-writer.ts';
import { RollbackFailedError, RolledBackError } from './action.ts';
import type { ActionContext, SavedBackup } from './action.ts';
import type { JobLog } from './job-log.ts';
import type { StopControl } from './stop-control.ts';

type Step = Parameters<ActionContext['step']>[0];
type Body = Parameters<ActionContext['step']>[1];
type PutBack = NonNullable<Parameters<ActionContext['step']>[2]>;

/**
 * Runs the steps of an action one at a time, each between its records in the journal. What the journal
 * says was on disk before the step acted on it.
 */
export class Steps {
  private readonly journal: JournalWriter;
  private readonly log: JobLog;
  private readonly stopControl: StopControl;
  private readonly planned: readonly PlanStep[];
  private isRunning = false;

  /** @param planned the steps that were agreed to, which bound how long each may hold back a stop */
  constructor(
    journal: JournalWriter,
    log: JobLog,
    stopControl: StopControl,
    planned: readonly PlanStep[],
  ) {
    this.journal = journal;
    this.log = log;
    this.stopControl = stopControl;
    this.planned = planned;
  }

  async run(step: Step, body: Body, putBack?: PutBack): Promise<void> {
    if (this.isRunning) throw new Error('steps run one after the other');
    if (putBack !== undefined && step.interrupt !== 'rollback') {
      throw new Error(`step ${step.id} puts back what it did, and is ${step.interrupt}`);
    }
    const bound = this.planned.find(({ id }) => id === step.id)?.interruptBoundSeconds;
    this.stopControl.enterStep(step.interrupt, bound === undefined ? undefined : bound * 1000);
    this.isRunning = true;
    try {
      this.journal.append({
        type: 'step_started',
        at: Date.now(),
        step: step.id,
        description: this.log.mask(step.description),
      });
      this.log.note(`Step ${step.id}: ${step.description}`);
      await this.carryOut(step.id, body, putBack);
    } finally {
      this.isRunning = false;
      this.stopControl.leaveStep();
    }
  }

  private async carryOut(step: string, body: Body, putBack: PutBack | undefined): Promise<void> {
    let hasSaved = false;
    const saved = async (backups: SavedBackup[]) => {
      const kept = backups.map(({ path, bytes, digest }) => ({ path, bytes, digest }));
      this.journal.append({ type: 'step_saved', at: Date.now(), step, backups: kept });
      hasSaved = true;
    };
    try {
      await body(saved);
      // Told to stop in its last moment, it has not looked at its signal any more.
      if (putBack !== undefined) this.stopControl.signal.throwIfAborted();
    } catch (thrown) {
      const error =
        putBack === undefined || !hasSaved ? thrown : await this.rollBack(step, thrown, putBack);
      this.ended(step, false, error instanceof Error ? error.message : String(error));
      throw error;
    }
    this.ended(step, true, '');
  }

  /** The error with which the step ends. */
  private async rollBack(step: string, thrown: unknown, putBack: PutBack): Promise<Error> {
    const { signal } = this.stopControl;
    const given = signal.aborted ? (signal.reason as unknown) : thrown;
    const cause = given instanceof Error ? given : new Error(String(given));
    this.log.note(`Putting back what step ${step} did: ${cause.message}`);
    try {
      await putBack();
      this.journal.append({ type: 'step_rolled_back', at: Date.now(), step });
      return new RolledBackError(cause);
    } catch (error) {
      // Killed at its bound: the job's end says so.
      if (this.stopControl.hasOverrun) return cause;
      const failure = error instanceof Error ? error : new Error(String(error));
      return new RollbackFailedError(step, cause, failure);
    }
  }

  private ended(step: string, ok: boolean, detail: string): void {
    const text = this.log.mask(detail).slice(0, 2000);
    this.journal.append({ type: 'step_ended', at: Date.now(), step, ok, detail: text });
  }
}
