import type { FileHandle } from 'node:fs/promises';
import { deviceOf } from '../named-volume.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import { counted } from '../counted.ts';
import { openDevice } from '../device-io.ts';
import { presentFor, runE2fsck, type E2fsckRun } from './e2fsck.ts';
import {
  examineFilesystem,
  withBackupSuperblock,
  type ExtFilesystem,
} from './filesystem-examination.ts';
import { filesystemResult } from '../filesystem-result.ts';
import { repairTargetSchema, type RepairTarget } from './plan-repair.ts';
import { repairOnDevice } from './repair-on-device.ts';
import { lostAndFound, removed } from './repair-findings.ts';
import { repairStepTexts } from './repair-steps.ts';
import { saveForRepair, type SavedForRepair } from './save-for-repair.ts';
import { stalePlan } from '../stale-plan.ts';
import { judgeLook } from './verdict.ts';
import { copyAs, removeCopy } from './working-copy.ts';

/** Carries out a plan of `planRepair`: saves, repairs, verifies. A plan without steps changes nothing. */
export async function applyRepair(
  context: ActionContext,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'a repair needs a plan');
  const target = repairTargetSchema.parse(plan.target);
  const filesystem = await examineTarget(context, target);
  // Nobody can mount the device until the repair itself takes it.
  const claim = await openDevice(filesystem.device, 'read');
  try {
    return plan.steps.length === 0
      ? await confirmClean(context, plan, target, filesystem, claim)
      : await repair(context, plan, filesystem, claim);
  } finally {
    await claim.close().catch(() => undefined);
  }
}

async function examineTarget(context: ActionContext, target: RepairTarget): Promise<ExtFilesystem> {
  const device = deviceOf(context);
  if (device !== target.device) throw stalePlan(`it is for ${target.device}`);
  let filesystem = await examineFilesystem(context, device);
  if (target.superblock !== null && filesystem.backup === null) {
    filesystem = await withBackupSuperblock(filesystem);
  }
  const { superblock, backup } = filesystem;
  if (superblock.uuid !== target.uuid) throw stalePlan('it is another one');
  if (filesystem.device.bytes !== target.bytes) throw stalePlan('the device has another size');
  if (backup?.block !== target.superblock?.block || superblock.blockSize !== target.blockSize) {
    throw stalePlan('its superblock is not the same');
  }
  return filesystem;
}

async function confirmClean(
  context: ActionContext,
  plan: Plan,
  target: RepairTarget,
  filesystem: ExtFilesystem,
  claim: FileHandle,
): Promise<ActionResult> {
  const copy = await copyAs(context, filesystem, target.copied, null, claim);
  await removeCopy(copy);
  if (copy.digest !== plan.preconditions[0]?.digest) throw stalePlan('its metadata differs');
  const detail = 'Nothing to do: the file system is as clean as the plan has found it.';
  context.note(detail);
  const result = filesystemResult({
    outcome: 'clean',
    device: target.device,
    filesystem: target.filesystem,
    uuid: target.uuid,
    run: null,
    exitStatus: 0,
    detail,
  });
  return { succeeded: true, reason: null, exitStatus: null, result };
}

async function repair(
  context: ActionContext,
  plan: Plan,
  filesystem: ExtFilesystem,
  claim: FileHandle,
): Promise<ActionResult> {
  let saved: SavedForRepair | undefined;
  await context.step(repairStepTexts.save, async (confirm) => {
    saved = await saveForRepair(context, plan, filesystem, claim);
    await confirm(saved.backups);
  });
  let repaired: E2fsckRun | undefined;
  await context.step(repairStepTexts.repair, async (confirm) => {
    await confirm(saved!.blocks);
    await claim.close();
    repaired = await repairOnDevice(context, filesystem, saved!);
  });
  let verified: E2fsckRun | undefined;
  await context.step(repairStepTexts.verify, async (confirm) => {
    await confirm([]);
    verified = await runE2fsck(context, {
      device: filesystem.device.path,
      mode: 'look',
      superblock: null,
      now: presentFor(filesystem.superblock),
      isLogged: true,
      phase: 'verifying',
      signal: context.signal,
    });
  });
  return resultOf(filesystem, saved!, repaired!, verified!);
}

function resultOf(
  { device, superblock }: ExtFilesystem,
  saved: SavedForRepair,
  repaired: E2fsckRun,
  verified: E2fsckRun,
): ActionResult {
  const verdict = judgeLook(verified);
  const isGood = verdict.outcome === 'clean';
  const { problemCount, removals, reconnected, journalLost } = repaired.transcript;
  const said = [
    isGood
      ? `${problemCount > 0 ? `${counted(problemCount, 'problem', 'problems')} corrected` : 'Brought in order'}; a second check finds no errors.`
      : `e2fsck ended its repair with exit status ${repaired.exitStatus}, but a second check does not find the file system clean: ${verdict.detail}`,
    journalLost ? 'The journal was made anew; the changes in it are lost.' : '',
    removals > 0 ? `Removed: ${removed(removals)}.` : '',
    reconnected.length > 0 ? `In lost+found now: ${lostAndFound(reconnected)}.` : '',
    `What was overwritten is saved in ${saved.folder} and can be put back until the file system is used again.`,
  ];
  const result = filesystemResult({
    outcome: isGood ? 'corrected' : verdict.outcome,
    device: device.path,
    filesystem: superblock.type,
    uuid: superblock.uuid,
    run: isGood ? repaired : verified,
    exitStatus: verified.exitStatus,
    detail: said.filter((text) => text !== '').join(' '),
  });
  return { succeeded: isGood, reason: isGood ? null : verdict.reason, exitStatus: null, result };
}
