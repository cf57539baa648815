import type { FilesystemOutcome } from '../../../../proto/actions/filesystem.ts';
import type { Plan, PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionResult } from '../../../runner/action.ts';
import { inspectDevice, type BlockDevice } from '../../../target/block-device.ts';
import { findUse } from '../../../target/device-use.ts';
import { requireSamePlan, type PlanBody } from '../../same-plan.ts';
import { findSavedBackups } from '../../files/saved-backups.ts';
import { backupFolderInPlan, checkBackupPlace, makeBackupFolder } from '../backup-place.ts';
import type { FilesystemKind } from '../filesystem-kind.ts';
import { filesystemResult } from '../filesystem-result.ts';
import type { NamedVolume } from '../on-partition.ts';
import { restoreBootSector } from './boot-sector.ts';
import { digestOf, IMAGE_MAX_BYTES, noteAfter, restoreImage, saveImage } from './volume-image.ts';
import { volumeTools, type Cure, type VolumeVerdict } from './volume-tools.ts';

export type VolumeKind = Exclude<FilesystemKind, 'ext'>;

const texts = {
  save: {
    id: 'save',
    description: 'Keep every byte of the file system as it is',
    interrupt: 'now',
  },
  repair: { id: 'repair', description: 'Repair the file system', interrupt: 'finish' },
  verify: { id: 'verify', description: 'Check the file system again', interrupt: 'now' },
  undo: { id: 'undo-repair', description: 'Put every byte back as it was', interrupt: 'finish' },
} as const;

const BOUND_SECONDS = 4 * 3600;

/** What cannot be helped by looking again or by another plan. */
const HOPELESS = new Set(['tool_too_old', 'hardware_failing']);

interface Look {
  device: BlockDevice;
  verdict: VolumeVerdict;
}

/** Looks for errors and changes nothing. */
export async function checkVolume(volume: NamedVolume, kind: VolumeKind): Promise<ActionResult> {
  const { verdict } = await look(volume, kind);
  volume.context.note(verdict.outcome === 'clean' ? verdict.detail : `Finding: ${verdict.detail}`);
  const couldLook = verdict.outcome === 'clean' || verdict.outcome === 'errors_left';
  const reason = couldLook ? null : verdict.reason;
  return resultOf(volume, kind, verdict.outcome, verdict.detail, reason);
}

export async function planVolume(volume: NamedVolume, kind: VolumeKind): Promise<PlanBody> {
  const { device, verdict } = await look(volume, kind);
  if (verdict.reason !== null && HOPELESS.has(verdict.reason)) {
    throw new ActionError(verdict.reason, verdict.detail);
  }
  const body = await bodyOf(volume, kind, device, verdict);
  if (body.steps.length > 0 && isKept(device)) {
    await checkBackupPlace(volume.context, device.bytes);
  }
  return body;
}

/** Carries out a plan of `planVolume`: keeps the whole, repairs, checks again. */
export async function applyVolume(
  volume: NamedVolume,
  kind: VolumeKind,
  plan: Plan | null,
): Promise<ActionResult> {
  const { context } = volume;
  const { device, verdict } = await look(volume, kind);
  const body = await bodyOf(volume, kind, device, verdict);
  requireSamePlan(plan, body);
  if (body.steps.length === 0) {
    return resultOf(volume, kind, verdict.outcome, body.summary, verdict.reason);
  }
  let folder = '';
  if (isKept(device)) {
    const usable = await checkBackupPlace(context, device.bytes);
    folder = await makeBackupFolder(context);
    await context.step(texts.save, async (confirm) => {
      const saved = await saveImage(context, device, folder, usable);
      if (saved.digest !== body.preconditions[0]?.digest) {
        throw new ActionError(
          'changed_since_plan',
          'the file system has changed since; plan again',
        );
      }
      await confirm(saved.backups);
    });
  }
  await context.step(texts.repair, async (confirm) => {
    await confirm([]);
    await cure(volume, kind, device, verdict.cure!);
    if (folder !== '') await noteAfter(context, device, folder);
  });
  let after = verdict;
  await context.step(texts.verify, async (confirm) => {
    await confirm([]);
    ({ verdict: after } = await look(volume, kind));
  });
  const isGood = after.outcome === 'clean';
  const kept = folder === '' ? '' : ` Every byte from before is kept in ${folder}.`;
  const said = isGood
    ? `Corrected; a second check finds no errors.${kept}`
    : `The repair has ended, and a second check says: ${after.detail}${kept}`;
  context.note(said);
  const outcome = isGood ? 'corrected' : after.outcome;
  return resultOf(volume, kind, outcome, said, isGood ? null : (after.reason ?? 'errors_left'));
}

/** Puts every byte back. */
export async function undoVolume(volume: NamedVolume): Promise<ActionResult> {
  const { context } = volume;
  const folder = await findSavedBackups(context.undone);
  if (folder === null) {
    const detail = 'The repair had not begun to write: there is nothing to put back.';
    return resultOf(volume, '', 'restored', detail, null);
  }
  const device = await inspectUnused(volume);
  let written = 0;
  await context.step(texts.undo, async (confirm) => {
    await confirm([]);
    written = await restoreImage(context, device, folder);
  });
  const detail = `Put back: ${written} bytes written; all bytes of the device are as before the repair, and so are the errors it had corrected.`;
  context.note(detail);
  return resultOf(volume, '', 'restored', detail, null);
}

async function look(volume: NamedVolume, kind: VolumeKind): Promise<Look> {
  const device = await inspectUnused(volume);
  const { check, judge } = volumeTools[kind];
  const done = await volume.context.run(check(volume.device), {
    output: 'both',
    signal: volume.context.signal,
  });
  return { device, verdict: judge(done) };
}

async function inspectUnused({ device: path }: NamedVolume): Promise<BlockDevice> {
  const device = await inspectDevice(path);
  const use = await findUse(device);
  if (use !== null) throw new ActionError('device_in_use', `${path} is in use: ${use}`);
  return device;
}

async function cure(
  volume: NamedVolume,
  kind: VolumeKind,
  device: BlockDevice,
  by: Cure,
): Promise<void> {
  const { context, mounting } = volume;
  switch (by) {
    case 'replay': {
      if (mounting === null) throw needsDisk();
      const point = `${mounting.place}/replay`;
      await mounting.mounts.mount(volume.device, kind, point, { write: true });
      await mounting.mounts.unmount(point);
      return;
    }
    case 'boot-sector':
      return restoreBootSector(device);
    case 'tool': {
      const { repair, repaired } = volumeTools[kind];
      const done = await context.run(repair!(volume.device), { output: 'log' });
      if (done.exitStatus !== null && repaired.includes(done.exitStatus)) return;
      // The check that follows says how things are.
      context.note(`The repair ended with exit status ${String(done.exitStatus)}.`);
    }
  }
}

function needsDisk(): ActionError {
  return new ActionError(
    'no_disk',
    'its journal is replayed by mounting it, which needs the whole disk: --disk, and partition',
  );
}

const isKept = ({ bytes }: BlockDevice) => bytes <= IMAGE_MAX_BYTES;

async function bodyOf(
  volume: NamedVolume,
  kind: VolumeKind,
  device: BlockDevice,
  { outcome, detail, cure: by, reason }: VolumeVerdict,
): Promise<PlanBody> {
  if (outcome === 'errors_left' && by === null) {
    throw new ActionError(reason ?? 'errors_left', detail);
  }
  if (outcome !== 'clean' && outcome !== 'errors_left') {
    throw new ActionError(reason ?? 'tool_failed', detail);
  }
  if (by === 'replay' && volume.mounting === null) throw needsDisk();
  const target = {
    ...volume.ids,
    device: volume.device,
    volume: volume.name,
    kind,
    bytes: device.bytes,
  };
  const preconditions = [
    {
      what: 'all bytes of the file system',
      digest: await digestOf(volume.context, device),
    },
  ];
  if (outcome === 'clean') {
    return {
      target,
      summary: `Nothing to do: the ${kind} file system of ${volume.name} is clean.`,
      findings: [],
      preconditions,
      steps: [],
    };
  }
  return {
    target,
    summary: `${cureText(by!)} of ${volume.name} (${kind}).`,
    findings: [detail],
    preconditions,
    steps: stepsOf(volume, kind, device, by!),
  };
}

function cureText(by: Cure): string {
  switch (by) {
    case 'replay':
      return 'Write out the journal';
    case 'boot-sector':
      return 'Write the boot sector anew from its copy at the end';
    case 'tool':
      return 'Repair the file system';
  }
}

function stepsOf(
  { context, device: path, mounting }: NamedVolume,
  kind: VolumeKind,
  device: BlockDevice,
  by: Cure,
): PlanStep[] {
  const folder = backupFolderInPlan(context);
  const { check, repair } = volumeTools[kind];
  const command = (argv: string[]) => [{ type: 'command' as const, argv }];
  const kept = isKept(device);
  const nothing = { possible: true as const, how: 'The device is not changed.' };
  const save: PlanStep = {
    ...texts.save,
    changes: [],
    declaredFolders: [folder],
    backup: { what: 'every byte of the file system', bytes: device.bytes, where: folder },
    verify: 'What is kept has the digest of the precondition.',
    undo: nothing,
    interruptBoundSeconds: 5,
  };
  const changes =
    by === 'tool'
      ? command(repair!(path))
      : by === 'replay'
        ? command(['mount', '-t', kind, path, `${mounting?.place ?? ''}/replay`])
        : command(['dd', `if=${path}`, `of=${path}`, 'bs=512', 'count=1', 'conv=notrunc']);
  return [
    ...(kept ? [save] : []),
    {
      ...texts.repair,
      changes,
      declaredFolders: [path],
      backup: kept ? { what: 'nothing more', bytes: 0, where: folder } : null,
      verify: 'The next step.',
      undo: kept
        ? { possible: true, how: 'Every byte is written back and compared.' }
        : { possible: false, why: 'The file system is too large to be kept whole.' },
      interruptBoundSeconds: BOUND_SECONDS,
    },
    {
      ...texts.verify,
      changes: command(check(path)),
      declaredFolders: [],
      backup: null,
      verify: 'The check finds nothing.',
      undo: nothing,
      interruptBoundSeconds: 5,
    },
  ];
}

function resultOf(
  volume: NamedVolume,
  kind: VolumeKind | '',
  outcome: FilesystemOutcome,
  detail: string,
  reason: string | null,
): ActionResult {
  const result = filesystemResult({
    outcome,
    device: volume.name,
    filesystem: kind,
    uuid: null,
    run: null,
    blemishes: outcome === 'errors_left' ? [detail] : [],
    exitStatus: null,
    detail,
  });
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
