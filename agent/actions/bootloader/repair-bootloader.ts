import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BootPart } from '../../../proto/actions/bootloader.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
} from '../../runner/action.ts';
import { StoppedError } from '../../runner/stop-control.ts';
import type { Cover } from '../../target/offline/run-inside.ts';
import { withTarget, type Target } from '../../target/open-target.ts';
import { applyChangeSteps, takeBackChanges } from '../files/change-steps.ts';
import { fileRepairEnd } from '../files/file-repair.ts';
import { findSavedBackups } from '../files/saved-backups.ts';
import { checkBackupPlace, makeBackupFolder } from '../filesystem/backup-place.ts';
import { scratchFolder } from '../filesystem/scratch-space.ts';
import { requireSamePlan } from '../same-plan.ts';
import { withAttributesKept } from './boot-attributes.ts';
import { GRUB_CFG } from './boot-menu.ts';
import {
  addEntries,
  requireFirmware,
  saveEntries,
  takeBackEntries,
} from './firmware/write-entries.ts';
import { saveEsps, writeEsps } from './esp/write-esps.ts';
import { settingsForAnyMachine } from './initramfs-settings.ts';
import { inspectBoot, type BootState } from './inspect-boot.ts';
import { writeMenu } from './write-menu.ts';
import { commandsOf, filesOf, planBoot, texts, writesBoot } from './plan-boot.ts';
import {
  applyTables,
  hasSavedTables,
  isTablePlan,
  planTables,
  undoTables,
} from './repair-table.ts';
import { noteBootAfter, requireBootUnchanged, restoreBoot, saveBoot } from './saved-boot.ts';

const STEP_WITHIN_MS = 15 * 60_000;

/** Makes what starts a system anew, with the system's own programs, and puts it back where it does not hold. */
export const bootloaderRepair: ActionImplementation = {
  plan: async (context) =>
    (await planTables(context)) ??
    withTarget(context, { write: false }, async (target) => {
      const state = await inspectBoot(context, target);
      const { body, backupBytes } = await planBoot(context, target, state);
      if (body.steps.length > 0) await checkBackupPlace(context, backupBytes);
      return body;
    }),
  apply: async (context, plan) => {
    if (!isTablePlan(plan)) {
      return withTarget(context, { write: true }, (target) => apply(context, target, plan));
    }
    const { summary } = await applyTables(context, plan);
    return fileRepairEnd(context, 'repaired', [], summary, null);
  },
  undo: async (context) => {
    const restored = (detail: string) => fileRepairEnd(context, 'restored', [], detail, null);
    const folder = await findSavedBackups(context.undone);
    if (folder === null) return restored('Nothing had been changed: nothing to put back.');
    if (await hasSavedTables(folder)) {
      await undoTables(context, folder);
      return restored('The start of the disk is as it was before the repair.');
    }
    return withTarget(context, { write: true }, async (target) => {
      await requireFirmware(target.layout!, folder);
      await requireBootUnchanged(context, target, folder);
      await context.step(texts.undo, async (confirm) => {
        await confirm([]);
        await putBack(context, target, folder);
      });
      return restored('Everything that the repair wrote is as it was before.');
    });
  },
};

async function apply(
  context: ActionContext,
  target: Target,
  plan: Plan | null,
): Promise<ActionResult> {
  const state = await inspectBoot(context, target);
  const { body, defaults } = await planBoot(context, target, state);
  const { preconditions } = requireSamePlan(plan, body);
  if (body.steps.length === 0) {
    return fileRepairEnd(context, 'nothing_to_do', [], body.summary, null);
  }
  const folder = await makeBackupFolder(context);
  await context.step(texts.save, async (confirm) => {
    const boot = writesBoot(state) ? await saveBoot(context, target, state, folder) : [];
    const esps = await saveEsps(context, state.esps, folder);
    const { entries } = state;
    const change =
      entries === null ? [] : [await saveEntries(state.layout, entries.change, folder)];
    await confirm([...boot, ...esps, ...change]);
  });
  try {
    const before = state.wanted.filter((part) => part !== 'config');
    for (const part of before) await makePart(context, target, state, part, folder);
    await applyChangeSteps(context, defaults, preconditions, folder);
    if (state.wanted.includes('config')) await makePart(context, target, state, 'config', folder);
    await context.step(texts.verify, async (confirm) => {
      await confirm([]);
      await verify(context, target, state);
      await noteBootAfter(context, target, folder);
    });
  } catch (error) {
    if (error instanceof StoppedError || context.signal.aborted) throw error;
    const said = (error as Error).message;
    context.note(`${said} Everything is put back.`);
    await putBack(context, target, folder);
    const reason = error instanceof ActionError ? error.reason : 'boot_failed';
    return fileRepairEnd(context, 'rolled_back', [], `${said} Everything was put back.`, reason);
  }
  return fileRepairEnd(context, 'repaired', filesOf(state), body.summary, null);
}

async function makePart(
  context: ActionContext,
  target: Target,
  state: BootState,
  part: BootPart,
  folder: string,
): Promise<void> {
  await context.step(texts[part], async (confirm) => {
    await confirm([]);
    const covers = part === 'initramfs' ? await settingsForAnyMachine(context, target) : [];
    await withAttributesKept(context, target, async () => {
      for (const argv of commandsOf(part, state)) await inside(context, target, argv, covers);
    });
    if (part !== 'loader') return;
    await writeEsps(target, folder, 'after');
    // Last: an entry never starts what is not there.
    await addEntries(state.layout, folder);
  });
}

/** May be cut off anywhere and begun again; a part that the job had not saved is left alone. */
async function putBack(context: ActionContext, target: Target, folder: string): Promise<void> {
  await takeBackEntries(context, target.layout!, folder);
  await takeBackChanges(context, target.root, folder);
  await writeEsps(target, folder, 'before');
  await restoreBoot(context, target, folder);
}

/** What must be so for a boot to get through; grub-install and grub-mkconfig end with 0 also without it. */
async function verify(context: ActionContext, target: Target, state: BootState): Promise<void> {
  const now = await inspectBoot(context, target);
  const left = state.wanted.flatMap((part) => now.faults[part]);
  if (now.choice !== null && (!now.choice.isInMenu || now.choice.defaults !== null)) {
    left.push(`The boot menu does not start ${now.choice.id}.`);
  }
  if (left.length > 0) throw new ActionError('verify_failed', left.slice(0, 5).join(' '));
  if (!state.makesMenu) return;
  const script = await target.runInside(['grub-script-check', GRUB_CFG], {
    output: 'capture',
    readOnly: true,
  });
  if (script.exitStatus !== 0) throw new ActionError('verify_failed', script.err.slice(0, 500));
}

/**
 * Runs a program of the target that can write to /boot and nothing else of it. grub-install writes to the disk
 * too, which nothing can be kept from then; every other one can only read the disk.
 */
async function inside(
  context: ActionContext,
  target: Target,
  argv: readonly string[],
  covers: readonly Cover[],
): Promise<void> {
  const scratch = join(await scratchFolder(context), 'inside');
  await mkdir(scratch, { recursive: true, mode: 0o700 });
  const writable = [
    { at: '/boot', with: join(target.root.path, 'boot'), writable: true },
    { at: '/tmp/scratch', with: scratch, writable: true },
  ] as const;
  const makesMenu = argv[0] === 'grub-mkconfig';
  const done = await target.runInside(makesMenu ? argv.slice(0, 1) : argv, {
    output: makesMenu ? 'capture' : 'both',
    devices: argv[0] === 'grub-install' ? 'write' : 'read',
    readOnly: true,
    covers: [...writable, ...covers],
    environment: { TMPDIR: '/tmp/scratch' },
    timeoutMs: STEP_WITHIN_MS,
  });
  await rm(scratch, { recursive: true, force: true });
  if (done.exitStatus !== 0) {
    const how = done.exitStatus ?? done.signal;
    const said = done.err.trim().slice(-300);
    throw new ActionError('tool_failed', `${argv[0]} ended with ${how}: ${said}`);
  }
  if (!makesMenu) return;
  if (done.truncated) throw new ActionError('tool_failed', 'the boot menu is longer than any');
  await writeMenu(context, target, done.out);
}
