import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { CommandStartError } from '../../../process/command-start-error.ts';
import {
  ActionError,
  type ActionContext,
  type ActionResult,
  type SavedBackup,
} from '../../../runner/action.ts';
import { requireSamePlan, type PlanBody } from '../../same-plan.ts';
import { findSavedBackups } from '../../files/saved-backups.ts';
import { checkBackupPlace, dropBackupFolder, makeBackupFolder } from '../backup-place.ts';
import { openDevice } from '../device-io.ts';
import { filesystemResult } from '../filesystem-result.ts';
import { inspectUnused, type NamedVolume } from '../named-volume.ts';
import type { Look, Sight } from '../sight.ts';
import { backupBytes, cleanPlan, patchPlan, patchStepTexts } from './patch-plan.ts';
import type { Cure, PatchedKind, Work } from './patched-kind.ts';
import { SavedPatch } from './saved-patch.ts';

/** A kind with its name, as blkid(8) has it. */
export interface NamedKind {
  name: string;
  kind: PatchedKind;
}

/** Looks for errors and changes nothing. It succeeds when it could look, whatever it saw. */
export async function checkPatched(volume: NamedVolume, { name, kind }: NamedKind) {
  const { context } = volume;
  const sight = await kind.look(looking(context, true), await inspectUnused(volume.device));
  context.note(sight.outcome === 'clean' ? sight.detail : `Finding: ${sight.detail}`);
  const couldLook = ['clean', 'errors_left', 'journal_pending'].includes(sight.outcome);
  return resultOf(volume, name, sight, couldLook ? null : sight.reason);
}

export async function planPatched(volume: NamedVolume, named: NamedKind): Promise<PlanBody> {
  return withPlanned(volume, named, 'read', async ({ body, cure }) => {
    if (cure !== null) await checkBackupPlace(volume.context, backupBytes(cure));
    return body;
  });
}

/** Looks and rehearses anew, and goes on only if that gives the plan that was agreed to. */
export async function applyPatched(
  volume: NamedVolume,
  named: NamedKind,
  plan: Plan,
): Promise<ActionResult> {
  return withPlanned(volume, named, 'write', async (planned) => {
    const { body, cure, sight, work } = planned;
    requireSamePlan(plan, body);
    if (cure === null) return resultOf(volume, named.name, { ...sight, detail: body.summary });
    return cure.means.type === 'patch'
      ? writePatch(named, sight, work, cure, cure.means)
      : repairDirectly(named, sight, work, cure.means);
  });
}

/** Takes a repair back, also one that was cut off, also when an undo was. */
export async function undoPatched(volume: NamedVolume): Promise<ActionResult> {
  const { context } = volume;
  const folder = await findSavedBackups(context.undone);
  if (folder === null) throw new ActionError('undo_not_possible', 'nothing was saved');
  const device = await inspectUnused(volume.device);
  await using saved = await SavedPatch.open(folder);
  const { record } = saved;
  if (record.device !== device.path || record.bytes !== device.bytes) {
    throw new ActionError('changed_since', `${volume.name} is not what was repaired`);
  }
  await using handle = await openDevice(device, 'write');
  const state = await saved.stateOf(context, handle);
  if (state === 'changed') {
    throw new ActionError(
      'changed_since',
      `the file system of ${volume.name} was changed after the repair; putting the old blocks back would destroy it`,
    );
  }
  let detail = 'The device is as it was before the repair already.';
  if (state === 'patched') {
    await context.step(patchStepTexts.undo, async (confirm) => {
      await confirm([]);
      const { written, proof } = await saved.restore(context, handle);
      detail = `Put back: ${written} bytes written; ${proof}. The problems the repair had corrected are back too.`;
    });
  }
  context.note(detail);
  const sight = { outcome: 'restored', detail, uuid: record.uuid, exitStatus: null } as const;
  return resultOf(volume, record.filesystem, { ...sight, problems: [] });
}

interface Planned {
  work: Work;
  sight: Sight;
  /** Null when there is nothing to do. */
  cure: Cure | null;
  body: PlanBody;
}

async function withPlanned<T>(
  volume: NamedVolume,
  { name, kind }: NamedKind,
  mode: 'read' | 'write',
  act: (planned: Planned) => Promise<T>,
): Promise<T> {
  const device = await inspectUnused(volume.device);
  const sight = await kind.look(looking(volume.context, mode === 'read'), device);
  if (sight.outcome === 'operational_error' || sight.outcome === 'tool_too_old') {
    throw new ActionError(sight.reason ?? sight.outcome, sight.detail);
  }
  await using handle = await openDevice(device, mode);
  const work: Work = { volume, device, handle };
  if (sight.outcome === 'clean') {
    return await act({ work, sight, cure: null, body: cleanPlan(work, name, sight) });
  }
  await using cure = await kind.prepare(work, sight);
  return await act({ work, sight, cure, body: patchPlan(work, name, sight, cure) });
}

async function writePatch(
  { name, kind }: NamedKind,
  sight: Sight,
  work: Work,
  cure: Cure,
  means: Extract<Cure['means'], { type: 'patch' }>,
): Promise<ActionResult> {
  const { volume, device, handle } = work;
  const { context } = volume;
  const usable = await checkBackupPlace(context, backupBytes(cure));
  const folder = await makeBackupFolder(context);
  await context.step(patchStepTexts.save, async (confirm) => {
    try {
      const backups: SavedBackup[] = [];
      if (means.keepsake !== null) backups.push(await means.keepsake.save(folder, usable));
      const of = { device, filesystem: name, uuid: sight.uuid };
      const { patch, watched } = means;
      backups.push(...(await SavedPatch.save(context, folder, of, handle, patch, watched)));
      await confirm(backups);
    } catch (error) {
      await dropBackupFolder(folder);
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      throw new ActionError('no_backup_space', `there is no room for the backups in ${folder}`);
    }
  });
  await using saved = await SavedPatch.open(folder);
  await context.step(patchStepTexts.repair, async (confirm) => {
    await confirm([]);
    await saved.write(context, handle);
    // The check wants the device for itself.
    await handle.close();
  });
  const after = await verify(kind, work);
  const kept = `What was overwritten is saved in ${folder} and can be put back until the file system is used again.`;
  if (after.outcome === 'clean' || cure.endsClean === false || cure.isMended?.(after) === true) {
    return resultAfter(volume, name, sight, after, kept);
  }
  let proof = '';
  await context.step(patchStepTexts.putBack, async (confirm) => {
    await confirm([]);
    await using writable = await openDevice(device, 'write');
    ({ proof } = await saved.restore(context, writable));
  });
  const detail = `A check after the repair said: ${after.detail} So everything was put back: ${proof}.`;
  context.note(detail);
  return resultOf(volume, name, { ...after, detail }, after.reason);
}

async function repairDirectly(
  { name, kind }: NamedKind,
  sight: Sight,
  work: Work,
  { run }: Extract<Cure['means'], { type: 'direct' }>,
): Promise<ActionResult> {
  const { context } = work.volume;
  await context.step(patchStepTexts.repair, async (confirm) => {
    await confirm([]);
    await work.handle.close();
    await run();
  });
  return resultAfter(work.volume, name, sight, await verify(kind, work), '');
}

async function verify(kind: PatchedKind, { volume }: Work): Promise<Sight> {
  const { context } = volume;
  let after: Sight | undefined;
  await context.step(patchStepTexts.verify, async (confirm) => {
    await confirm([]);
    after = await kind.look(looking(context, true), await inspectUnused(volume.device));
  });
  return after!;
}

/** What the programs say goes to the log too, once. */
function looking(context: ActionContext, isLogged: boolean): Look {
  return async (argv) => {
    try {
      return await context.run(argv, {
        output: isLogged ? 'both' : 'capture',
        signal: context.signal,
      });
    } catch (error) {
      if (!(error instanceof CommandStartError)) throw error;
      throw new ActionError('tool_missing', `${argv[0]} cannot be run here: ${error.message}`);
    }
  };
}

function resultAfter(
  volume: NamedVolume,
  name: string,
  before: Sight,
  after: Sight,
  kept: string,
): ActionResult {
  const isGood = after.outcome === 'clean';
  const detail = isGood
    ? `Corrected; a second check finds no errors. ${kept}`
    : `The repair has ended, and a second check says: ${after.detail} ${kept}`;
  volume.context.note(detail.trim());
  const { problems, uuid } = isGood ? before : after;
  const { exitStatus, outcome, reason } = after;
  return resultOf(
    volume,
    name,
    {
      outcome: isGood ? 'corrected' : outcome,
      detail: detail.trim(),
      problems,
      uuid: uuid ?? before.uuid,
      exitStatus,
    },
    isGood ? null : reason,
  );
}

function resultOf(
  volume: NamedVolume,
  filesystem: string,
  sight: Pick<Sight, 'detail' | 'problems' | 'uuid' | 'exitStatus'> & {
    outcome: Parameters<typeof filesystemResult>[0]['outcome'];
  },
  reason: string | null = null,
): ActionResult {
  const { outcome, detail, problems, uuid, exitStatus } = sight;
  const result = filesystemResult({
    outcome,
    device: volume.name,
    filesystem,
    uuid,
    run: null,
    blemishes: problems,
    exitStatus,
    detail,
  });
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
