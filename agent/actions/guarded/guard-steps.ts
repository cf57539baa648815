import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { UNIT_FOLDER } from './guard-unit.ts';

export const guardSteps = {
  guard: {
    id: 'guard',
    description: 'Save everything, and start a guardian that takes the change back by itself',
    interrupt: 'finish',
  },
  confirm: {
    id: 'confirm',
    description: 'Wait for the confirmation; without it everything is taken back',
    interrupt: 'rollback',
  },
} as const;

const WHERE = 'jobs/JOB/backups, jobs/JOB/guard';

/** The step before a guarded change: what is saved, and how it is put back. */
export function guardStep(
  backup: { what: string; bytes: number },
  withinSeconds: number,
): PlanStep {
  return {
    ...guardSteps.guard,
    changes: [],
    declaredFolders: [`${UNIT_FOLDER} (the unit of the guardian, which goes with it)`],
    backup: { ...backup, where: WHERE },
    verify: `The guardian watches; it puts everything back after ${withinSeconds} s or a reboot.`,
    undo: { possible: true, how: 'The guardian goes when it is done.' },
    interruptBoundSeconds: 120,
  };
}

/** The step after it. */
export function confirmStep(withinSeconds: number): PlanStep {
  return {
    ...guardSteps.confirm,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify:
      'The agent reaches the control plane by a new connection, and an engineer says so: intervene jobs confirm JOB.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: withinSeconds + 120,
  };
}
