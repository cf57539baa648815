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
/** Lets systemd read its files again. */
export const RELOAD = ['systemctl', 'daemon-reload'];

/** One step, so that a unit is set up as ordered or as before, never half. */
export const configureStep = { id: 'set-up', interrupt: 'rollback' } as const;
/**
 * What it may take to put everything back: systemctl waits 180 s at most for systemd to read its files (its
 * source, DAEMON_RELOAD_TIMEOUT_SEC), once in the command that is under way, once for what is put back.
 */
const PUT_BACK_WITHIN_SECONDS = 400;

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
  const isNeeded = changesFile || commands.length > 0;
  return {
    target: { unit: unit.id, state: standingText(unit.standing), start: unit.standing.enablement },
    summary: summaryOf(unit, wishes, isNeeded),
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
    steps: isNeeded ? [stepOf(unit, changesFile ? file : null, commands, snapshot)] : [],
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

export function configureDescription(unit: Unit): string {
  return `Set up ${unit.id} and let systemd read that; what does not hold is put back`;
}

function stepOf(
  unit: Unit,
  file: PlannedFileChange | null,
  commands: readonly string[][],
  snapshot: LinkSnapshot,
): PlanStep {
  const links = JSON.stringify(snapshot).length;
  const isNew = file?.before === null;
  return {
    ...configureStep,
    description: configureDescription(unit),
    changes: [
      ...(file?.changes ?? []),
      ...[...commands, RELOAD].map((argv) => ({ type: 'command' as const, argv })),
    ],
    declaredFolders:
      commands.length === 0
        ? []
        : ['/etc/systemd/system', '/run/systemd/system', '/etc/rc0.d to /etc/rcS.d'],
    backup: {
      what: [
        ...(file === null
          ? []
          : [
              isNew
                ? 'that there is no such file'
                : 'the file with its mode, owner, times and attributes',
            ]),
        ...(commands.length === 0 ? [] : ['all links in these folders']),
      ].join(', and '),
      bytes: (file?.backupBytes ?? 0) + (commands.length === 0 ? 0 : links),
      where: WHERE,
    },
    verify: [
      ...(file === null ? [] : [`${file.change.path} is read again and has the wanted bytes`]),
      'load state, drop-ins, enablement and mask are looked up with systemctl show',
    ].join('; '),
    undo: {
      possible: true,
      how: [
        ...(file === null
          ? []
          : [isNew ? 'The file is removed again.' : 'The file is put back as it was.']),
        ...(commands.length === 0 ? [] : ['Each link that changed is put back as it was.']),
        'systemd reads that.',
      ].join(' '),
    },
    interruptBoundSeconds: PUT_BACK_WITHIN_SECONDS,
  };
}
