import type { PlanStep } from '../../proto/documents/kinds/plan.ts';
import type { JournalWriter } from '../jobs/journal-writer.ts';
import type { ActionContext, SavedBackup } from './action.ts';
import type { JobLog } from './job-log.ts';
import type { StopControl } from './stop-control.ts';

type Body = Parameters<ActionContext['step']>[1];

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

  async run(step: Pick<PlanStep, 'id' | 'description' | 'interrupt'>, body: Body): Promise<void> {
    if (this.isRunning) throw new Error('steps run one after the other');
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
      await this.carryOut(step.id, body);
    } finally {
      this.isRunning = false;
      this.stopControl.leaveStep();
    }
  }

  private async carryOut(step: string, body: Body): Promise<void> {
    const saved = async (backups: SavedBackup[]) => {
      const kept = backups.map(({ path, bytes, digest }) => ({ path, bytes, digest }));
      this.journal.append({ type: 'step_saved', at: Date.now(), step, backups: kept });
    };
    try {
      await body(saved);
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      this.ended(step, false, detail);
      throw error;
    }
    this.ended(step, true, '');
  }

  private ended(step: string, ok: boolean, detail: string): void {
    const text = this.log.mask(detail).slice(0, 2000);
    this.journal.append({ type: 'step_ended', at: Date.now(), step, ok, detail: text });
  }
}
