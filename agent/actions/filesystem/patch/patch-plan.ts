import type { PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError } from '../../../runner/action.ts';
import type { PlanBody } from '../../same-plan.ts';
import { backupFolderInPlan } from '../backup-place.ts';
import { subtractRanges, totalBytes } from '../byte-ranges.ts';
import { counted } from '../counted.ts';
import type { Sight } from '../sight.ts';
import { describeRanges } from './patch.ts';
import type { Cure, Work } from './patched-kind.ts';

export const patchStepTexts = {
  save: {
    id: 'save',
    description: 'Save every block that the repair overwrites, as it is and as it becomes',
    interrupt: 'now',
  },
  repair: { id: 'repair', description: 'Repair the file system', interrupt: 'finish' },
  verify: { id: 'verify', description: 'Check the file system again', interrupt: 'now' },
  /** Only where the check does not find what the plan promised. */
  putBack: { id: 'put-back', description: 'Put every block back as it was', interrupt: 'finish' },
  undo: {
    id: 'undo-repair',
    description: 'Put back every block the repair has overwritten',
    interrupt: 'finish',
  },
} as const;

const MAX_FINDINGS = 120;
const MAX_BYTES = 24 * 1024;
const MAX_CHARACTERS = 480;
const SECONDS = { least: 60, most: 24 * 3600 };
/** Slow disks write this much in a second. */
const BYTES_PER_SECOND = 1024 * 1024;

/** What a repair saves: each stretch twice, with the lists of them, and the keepsake. */
export function backupBytes({ means }: Cure): number {
  if (means.type === 'direct') return 0;
  const { ranges, varying } = certain(means);
  const lists = 64 * ranges.length + 64 * 1024;
  const blocks = totalBytes(ranges) + (varying?.[1] ?? 0);
  return 2 * (blocks + lists) + (means.keepsake?.bytes ?? 0);
}

/** What is the same in each rehearsal, and the stretch in which the rest lies. */
function certain({ patch, varying }: Extract<Cure['means'], { type: 'patch' }>) {
  const ranges = varying === null ? patch.ranges : subtractRanges(patch.ranges, [varying]);
  return { ranges, varying };
}

export function cleanPlan({ volume, device }: Work, kind: string, sight: Sight): PlanBody {
  return {
    target: targetOf(volume, kind, device.bytes, sight),
    summary: `Nothing to do: the ${kind} file system of ${volume.name} is clean.`,
    findings: [],
    preconditions: [],
    steps: [],
  };
}

/** Throws ActionError when the repair would write nothing. */
export function patchPlan(work: Work, kind: string, sight: Sight, cure: Cure): PlanBody {
  const { volume, device } = work;
  const { means } = cure;
  if (means.type === 'patch' && means.patch.ranges.length === 0) {
    throw new ActionError('errors_left', `nothing here mends what was found: ${sight.detail}`);
  }
  return {
    target: targetOf(volume, kind, device.bytes, sight),
    summary: `${cure.summary} of ${volume.name} (${kind}): ${writtenBy(cure)}. ${endOf(cure)}`,
    findings: boundedFindings([sight.detail, ...cure.findings]),
    preconditions: [cure.precondition],
    steps: stepsOf(work, cure),
  };
}

function targetOf(volume: Work['volume'], kind: string, bytes: number, { uuid }: Sight) {
  return { ...volume.ids, device: volume.device, volume: volume.name, kind, bytes, uuid };
}

function writtenBy({ means }: Cure): string {
  if (means.type === 'direct') return 'on the device itself, and it cannot be undone';
  const { ranges, varying } = certain(means);
  const places = counted(ranges.length, 'place', 'places');
  const bytes = `${counted(totalBytes(ranges), 'byte', 'bytes')} in ${places} overwritten`;
  return varying === null ? bytes : `${bytes}, and parts of its log`;
}

function endOf({ endsClean }: Cure): string {
  switch (endsClean) {
    case true:
      return 'Afterwards it is clean, as the rehearsal showed.';
    case false:
      return 'Errors would be left, as the rehearsal showed.';
    case null:
      return 'Whether it is clean then, the check afterwards shows.';
  }
}

function stepsOf({ volume, device }: Work, cure: Cure): PlanStep[] {
  const { means } = cure;
  const folder = backupFolderInPlan(volume.context);
  const commands = cure.commands.map((argv) => ({ type: 'command' as const, argv }));
  const unchanged = { possible: true as const, how: 'The device is not changed.' };
  const verify: PlanStep = {
    ...patchStepTexts.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify:
      means.type === 'patch' && cure.endsClean !== false
        ? 'Nothing is found; else every block is put back at once.'
        : 'What is found is told.',
    undo: unchanged,
    interruptBoundSeconds: 5,
  };
  if (means.type === 'direct') {
    return [
      {
        ...patchStepTexts.repair,
        changes: commands,
        declaredFolders: [device.path],
        backup: null,
        verify: 'The next step.',
        undo: {
          possible: false,
          why: 'There is no room for a copy to rehearse on, so what is overwritten is not known.',
        },
        interruptBoundSeconds: SECONDS.most,
      },
      verify,
    ];
  }
  const { keepsake } = means;
  const { ranges, varying } = certain(means);
  const diff = [
    describeRanges(ranges),
    ...(varying === null ? [] : [`parts of ${describeRanges([varying])}`]),
  ].join('\n');
  return [
    {
      ...patchStepTexts.save,
      changes: [],
      declaredFolders: [folder],
      backup: {
        what: ['the blocks before and after', ...(keepsake === null ? [] : [keepsake.what])].join(
          ', and ',
        ),
        bytes: backupBytes(cure),
        where: folder,
      },
      verify: 'The state of the file system is the one of the precondition.',
      undo: unchanged,
      interruptBoundSeconds: 5,
    },
    {
      ...patchStepTexts.repair,
      changes: [...commands, { type: 'diff', path: device.path, diff }],
      declaredFolders: [],
      backup: { what: 'nothing more', bytes: 0, where: folder },
      verify: 'The next step.',
      undo: { possible: true, how: 'The saved blocks are written back and compared.' },
      interruptBoundSeconds: Math.min(
        SECONDS.least + Math.ceil(backupBytes(cure) / BYTES_PER_SECOND),
        SECONDS.most,
      ),
    },
    verify,
  ];
}

/** A plan is at most 64 KiB. */
function boundedFindings(findings: readonly string[]): string[] {
  const kept: string[] = [];
  let bytes = 0;
  for (const finding of findings) {
    const text = finding.slice(0, MAX_CHARACTERS).toWellFormed();
    bytes += Buffer.byteLength(JSON.stringify(text)) + 1;
    if (kept.length === MAX_FINDINGS || bytes > MAX_BYTES) break;
    kept.push(text);
  }
  const left = findings.length - kept.length;
  return left === 0 ? kept : [...kept, `And ${left} more, all in the log of the plan.`];
}
