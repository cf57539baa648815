import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { SavedBackup } from '../../runner/action.ts';

/** Where the backup of one change goes. */
export interface BackupPlace {
  /** The same for all changes of a job. */
  folder: string;
  /** Number of the change among those of the job; they are taken back in the opposite order. */
  index: number;
}

/** One change of a target's files as a plan shows it, and how it is made. */
export interface PlannedChange {
  path: string;
  /** False when it is as wanted already: the plan then needs no step for it. */
  isNeeded: boolean;
  changes: PlanStep['changes'];
  precondition: Plan['preconditions'][number];
  backup: { what: string; bytes: number };
  /** How it is taken back, in a sentence. */
  undo: string;
  /**
   * Saves what is to change; nothing is changed when it returns. Throws ActionError `changed_since_plan`
   * unless it is as the plan says.
   */
  prepare(
    place: BackupPlace,
    expected: string,
  ): Promise<{ backups: SavedBackup[]; make: () => Promise<void> }>;
}

/** A change that a job saved, and what has become of it. */
export interface FoundChange {
  path: string;
  /** `changed`: by somebody else since, so that nothing may be put over it. */
  standing: 'before' | 'after' | 'changed';
  /** May be cut off anywhere and done again. */
  restore: () => Promise<void>;
}
