import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { checkBackupPlace } from '../filesystem/backup-place.ts';
import type { PlannedFileChange } from '../files/plan-file-change.ts';
import { linkCommands, readWishes, wantedDropIn, type Wishes } from './configure-wishes.ts';
import { definitionPrecondition, digestOfJson } from './definition-digest.ts';
import { dropInText } from './drop-in.ts';
import { liveUnit, requireChangeable } from './live-unit.ts';
import { rehearseDropIn } from './rehearse-drop-in.ts';
import { standingText, type Unit } from './unit.ts';
import { linksOf, readLinks, type LinkSnapshot } from './unit-links.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;

export const LIVE = new TargetRoot('/');
const BACKUP_BYTES = 1024 * 1024;
const WHERE = 'jobs/JOB/backups';

export const configureStepTexts = {
  file: { id: 'drop-in', description: 'Write or remove the drop-in', interrupt: 'finish' },
  links: { id: 'links', description: 'Set when it may start', interrupt: 'finish' },
  reload: { id: 'reload', description: 'Let systemd read its files again', interrupt: 'finish' },
  verify: {
    id: 'verify',
    description: 'Look whether systemd has it so; if not, put everything back',
    interrupt: 'finish',
  },
} as const;

/** Plans how a unit is set up: its drop-in with the whole difference, its links, each with its undo. */
export async function planConfigure(context: ActionContext): Promise<PlanBody> {
  const wishes = readWishes(context);
  const unit = await liveUnit(context, wishes.unit);
  requireChangeable(unit, wishes.unit);
  await checkBackupPlace(context, BACKUP_BYTES);
  const file = await wantedDropIn(context, LIVE, unit, wishes);
  const commands = linkCommands(unit, wishes);
  const snapshot = await readLinks(LIVE);
  const changesFile = file?.isNeeded === true;
  const isRehearsed = changesFile && (await rehearse(context, unit, wishes));
  const steps = [
    ...(changesFile ? [fileStep(file)] : []),
    ...(commands.length > 0 ? [linksStep(commands, snapshot)] : []),
  ];
  return {
    target: { unit: unit.id, state: standingText(unit.standing), start: unit.standing.enablement },
    summary: summaryOf(unit, wishes, steps.length > 0),
    findings: [
      unit.standing.load === 'loaded' || unit.standing.load === 'masked'
        ? ''
        : `systemd cannot load it as it is: ${unit.loadError || unit.standing.load}.`,
      isRehearsed ? 'Tried in a copy: systemd finds no new fault with it.' : '',
      changesFile && !isRehearsed
        ? 'Not tried beforehand: systemd-analyze is not installed here.'
        : '',
      changesFile && unit.standing.active === 'active'
        ? 'It runs, and takes most settings over only when it is restarted.'
        : '',
      wishes.masked === true && unit.standing.active === 'active'
        ? 'It runs, and goes on until it is stopped.'
        : '',
    ].filter((text) => text !== ''),
    preconditions: await configurePreconditions(unit, file, snapshot),
    steps: steps.length === 0 ? [] : [...steps, reloadStep(), verifyStep()],
  };
}

/** What must be the same when the plan is carried out. */
export async function configurePreconditions(
  unit: Unit,
  file: PlannedFileChange | null,
  snapshot: LinkSnapshot,
): Promise<Plan['preconditions']> {
  return [
    await definitionPrecondition(unit),
    {
      what: `when ${unit.id} starts: ${unit.standing.enablement || 'not known'}`,
      digest: digestOfJson([unit.standing.enablement, linksOf(snapshot, unit.names)]),
    },
    ...(file === null ? [] : [file.precondition]),
  ];
}

async function rehearse(context: ActionContext, unit: Unit, wishes: Wishes): Promise<boolean> {
  // A masked unit is not read at all.
  if (unit.standing.load === 'masked') return false;
  const name = (wishes.dropIn ?? wishes.removeDropIn)!;
  const content = wishes.settings === undefined ? null : dropInText(wishes.settings);
  return rehearseDropIn(context, unit.id, name, content);
}

function summaryOf(unit: Unit, wishes: Wishes, isNeeded: boolean): string {
  if (!isNeeded) return `Nothing to do: ${unit.id} is set up so already.`;
  const wanted = [
    wishes.dropIn === undefined ? '' : `write its drop-in ${wishes.dropIn}`,
    wishes.removeDropIn === undefined ? '' : `remove its drop-in ${wishes.removeDropIn}`,
    wishes.masked === undefined ? '' : wishes.masked ? 'mask it' : 'lift its mask',
    wishes.enabled === undefined
      ? ''
      : wishes.enabled
        ? 'let it start with the system'
        : 'let it not start with the system',
  ].filter((text) => text !== '');
  return `Set up ${unit.id}: ${wanted.join(', ')}. It is neither started nor stopped.`;
}

function fileStep(file: PlannedFileChange): PlanStep {
  const { change, before } = file;
  const isNew = before === null;
  return {
    ...configureStepTexts.file,
    changes: file.changes,
    declaredFolders: [],
    backup: isNew
      ? { what: 'that there is no such file', bytes: 0, where: WHERE }
      : {
          what: 'the file with its mode, owner, times and attributes',
          bytes: file.backupBytes,
          where: WHERE,
        },
    verify: `${change.path} is read again and has the wanted bytes.`,
    undo: {
      possible: true,
      how: isNew ? 'The file is removed again.' : 'The file is put back as it was.',
    },
    interruptBoundSeconds: 60,
  };
}

function linksStep(commands: string[][], snapshot: LinkSnapshot): PlanStep {
  return {
    ...configureStepTexts.links,
    changes: commands.map((argv) => ({ type: 'command', argv })),
    declaredFolders: ['/etc/systemd/system', '/run/systemd/system', '/etc/rc0.d to /etc/rcS.d'],
    backup: {
      what: 'all links in these folders',
      bytes: JSON.stringify(snapshot).length,
      where: WHERE,
    },
    verify: 'systemctl exits with 0, and says so afterwards.',
    undo: { possible: true, how: 'Each link that changed is put back as it was.' },
    interruptBoundSeconds: 120,
  };
}

function reloadStep(): PlanStep {
  return {
    ...configureStepTexts.reload,
    changes: [{ type: 'command', argv: ['systemctl', 'daemon-reload'] }],
    declaredFolders: [],
    backup: null,
    verify: 'systemctl exits with 0.',
    undo: { possible: true, how: 'systemd reads them again after the undo.' },
    interruptBoundSeconds: 120,
  };
}

function verifyStep(): PlanStep {
  return {
    ...configureStepTexts.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: 'Load state, drop-ins, enablement and mask by systemctl show.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 180,
  };
}
