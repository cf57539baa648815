import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';

/** What the scripted action does in one step, in the order of the fields. */
export interface ScriptedStep {
  id: string;
  interrupt: PlanStep['interrupt'];
  /** Shell script, before anything is saved; ended by a stop. */
  before?: string;
  /** Content of a backup. */
  save?: string;
  /** Names of secrets to make and hand out; the last one is the standard input of `run`. */
  make?: string[];
  /** Shell script. */
  run?: string;
  /** Shell script that puts back what a step that rolls back did. */
  rollback?: string;
  /** Message of an error that nobody catches. */
  crash?: string;
  /** Reason to fail with. */
  fail?: string;
  /** The next step begins also when this one failed. */
  isOptional?: true;
}
