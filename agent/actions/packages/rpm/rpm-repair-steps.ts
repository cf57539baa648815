import type { PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../../runner/action.ts';
import { backupFolderInPlan } from '../../filesystem/backup-place.ts';
import type { DuplicateRpm } from './rpm-faults.ts';
import { inCommands, nvra } from './rpm-manager.ts';
import { rpmStepTexts } from './rpm-plan-steps.ts';

/** What a step is called in the plan and in the journal. */
export const rpmRepairTexts = {
  save: { id: 'save', description: "Keep rpm's record as it is", interrupt: 'now' },
  rebuild: {
    id: 'rebuild-record',
    description: "Build rpm's record anew from what is left of it",
    interrupt: 'finish',
  },
  duplicates: {
    id: 'end-change',
    description: 'Take away the versions that newer ones were to replace',
    interrupt: 'finish',
  },
  verify: rpmStepTexts.verify,
} as const;

export const REBUILD: readonly string[] = ['rpmdb', '--rebuilddb'];
const REBUILD_BOUND_SECONDS = 1800;
const ERASE_BOUND_SECONDS = 1800;

/** Whether anything needs what goes has been looked at on a copy, of all of them together. */
export function eraseArgvs(duplicates: readonly DuplicateRpm[]): string[][] {
  return inCommands(duplicates.flatMap(({ goes }) => goes.map(nvra))).map((names) => [
    ...['rpm', '--erase', '--nodeps'],
    ...names,
  ]);
}

/** rpm builds its record in a new folder, which then takes the old one's name: the labels are set again. */
export function labelArgv(folder: string): string[] {
  return ['restorecon', '-R', folder];
}

export function rebuildSteps(
  context: Pick<ActionContext, 'spec'>,
  folder: string,
  bytes: number,
  hasLabels: boolean,
): PlanStep[] {
  const where = backupFolderInPlan(context);
  const argvs = [[...REBUILD], ...(hasLabels ? [labelArgv(folder)] : [])];
  return [
    {
      ...rpmRepairTexts.save,
      changes: [],
      declaredFolders: [where],
      backup: { what: `all files of ${folder}`, bytes, where },
      verify: 'Their digests go into the receipt.',
      undo: { possible: true, how: 'The server is not changed.' },
      interruptBoundSeconds: 5,
    },
    {
      ...rpmRepairTexts.rebuild,
      changes: argvs.map((argv) => ({ type: 'command', argv })),
      declaredFolders: [folder.slice(0, folder.lastIndexOf('/')) || '/'],
      backup: null,
      verify: 'The exit status of rpmdb, and the next step.',
      undo: {
        possible: false,
        why: `a damaged record is kept in ${where}, but not put back`,
      },
      interruptBoundSeconds: REBUILD_BOUND_SECONDS,
    },
    verifyStep([['rpmdb', '--verifydb']], 'rpm finds its record whole and knows as many packages.'),
  ];
}

export function duplicateSteps(duplicates: readonly DuplicateRpm[]): PlanStep[] {
  const stay = duplicates.map(({ stays }) => nvra(stays));
  return [
    {
      ...rpmRepairTexts.duplicates,
      changes: eraseArgvs(duplicates).map((argv) => ({ type: 'command', argv })),
      declaredFolders: ['/etc', '/usr', '/var'],
      backup: null,
      verify: 'The exit status of rpm, and the next step.',
      undo: { possible: false, why: 'a change that was cut off is ended, not begun again' },
      interruptBoundSeconds: ERASE_BOUND_SECONDS,
    },
    verifyStep(
      inCommands(stay).map((names) => ['rpm', '--verify', ...names]),
      'Each is there once, and its files are those that the package brought.',
    ),
  ];
}

function verifyStep(argvs: readonly string[][], verify: string): PlanStep {
  return {
    ...rpmRepairTexts.verify,
    changes: argvs.map((argv) => ({ type: 'command', argv })),
    declaredFolders: [],
    backup: null,
    verify,
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 60,
  };
}
