import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import { backupFolderInPlan } from '../filesystem/backup-place.ts';
import { changeStepTexts, verifyStep } from './change-plan.ts';
import { DPKG_STATUS } from './installed-packages.ts';
import { holdingArgv } from './service-hold.ts';
import { releaseArgv } from './wrong-holds.ts';

/** What a step is called in the plan and in the journal. */
export const repairStepTexts = {
  record: {
    id: 'restore-record',
    description: "Put a whole copy of dpkg's record in the place of the lost one",
    interrupt: 'finish',
  },
  configure: {
    id: 'configure',
    description: 'Let dpkg finish the packages it was not through with',
    interrupt: 'finish',
  },
  release: {
    id: 'release-holds',
    description: 'Let go of the holds that keep packages from what they need',
    interrupt: 'finish',
  },
  verify: changeStepTexts.verify,
} as const;

export const CONFIGURE: readonly string[] = ['dpkg', '--force-confold', '--configure', '--pending'];
const CONFIGURE_BOUND_SECONDS = 3600;
const RECORD_BOUND_SECONDS = 60;

export function recordSteps(
  context: Pick<ActionContext, 'spec'>,
  copy: string,
  bytes: number,
): PlanStep[] {
  const folder = backupFolderInPlan(context);
  return [
    {
      ...repairStepTexts.record,
      changes: [{ type: 'command', argv: ['cp', copy, DPKG_STATUS] }],
      declaredFolders: [folder],
      backup: { what: 'the record as it is now', bytes, where: folder },
      verify: 'dpkg lists the packages whose files it has on the server.',
      undo: {
        possible: false,
        why: 'a record that says nothing is installed is kept, but not put back',
      },
      interruptBoundSeconds: RECORD_BOUND_SECONDS,
    },
    verifyStep(),
  ];
}

export function configureSteps(held: readonly string[]): PlanStep[] {
  const argv = [...CONFIGURE];
  return [
    {
      ...repairStepTexts.configure,
      changes: [
        { type: 'command', argv: held.length > 0 ? holdingArgv('jobs/JOB/holding', argv) : argv },
      ],
      declaredFolders: ['/etc', '/usr', '/var', ...(held.length > 0 ? ['/usr/sbin'] : [])],
      backup: null,
      verify: 'The exit status of dpkg, and the next step.',
      undo: { possible: false, why: 'what a package was half through with cannot be half undone' },
      interruptBoundSeconds: CONFIGURE_BOUND_SECONDS,
    },
    verifyStep(),
  ];
}

export function releaseSteps(names: readonly string[]): PlanStep[] {
  return [
    {
      ...repairStepTexts.release,
      changes: [{ type: 'command', argv: releaseArgv(names) }],
      declaredFolders: ['/var/lib/dpkg'],
      backup: null,
      verify: 'dpkg holds none of them any more.',
      undo: { possible: false, why: `by hand: apt-mark hold ${names.join(' ')}` },
      interruptBoundSeconds: RECORD_BOUND_SECONDS,
    },
    verifyStep(),
  ];
}
