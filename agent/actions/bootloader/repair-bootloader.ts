import type { BootPart } from '../../../proto/actions/bootloader.ts';
import { fileRepairEnd } from '../files/file-repair.ts';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
} from '../../runner/action.ts';
import { StoppedError } from '../../runner/stop-control.ts';
import type { Cover } from '../../target/offline/run-inside.ts';
import { withTarget, type Target } from '../../target/open-target.ts';
import { requireSamePlan, type PlanBody } from '../same-plan.ts';
import {
  applyTables,
  hasSavedTables,
  isTablePlan,
  planTables,
  undoTables,
} from './repair-table.ts';
import { findSavedBackups } from '../files/saved-backups.ts';
import { contentDigest } from '../files/file-state.ts';
import {
  backupFolderInPlan,
  checkBackupPlace,
  makeBackupFolder,
} from '../filesystem/backup-place.ts';
import { GRUB_CFG, initramfsOf } from './boot-menu.ts';
import { settingsForAnyMachine } from './initramfs-settings.ts';
import { inspectBoot, type BootState } from './inspect-boot.ts';
import {
  namesInBoot,
  regionsOf,
  noteBootAfter,
  requireBootUnchanged,
  restoreBoot,
  saveBoot,
} from './saved-boot.ts';

const STEP_WITHIN_MS = 15 * 60_000;
const BOUND_SECONDS = 15 * 60;
/** Without it the module for the partition table is left out where GRUB cannot see the table itself. */
const MODULES = 'part_gpt part_msdos';
const texts = {
  save: { id: 'save', description: 'Keep boot code, core image and /boot', interrupt: 'now' },
  loader: { id: 'loader', description: 'Install GRUB on the disk', interrupt: 'finish' },
  initramfs: { id: 'initramfs', description: 'Make the initramfs anew', interrupt: 'finish' },
  config: { id: 'config', description: 'Make the boot menu anew', interrupt: 'finish' },
  verify: {
    id: 'verify',
    description: 'Look whether all is there that a boot needs; if not, put everything back',
    interrupt: 'finish',
  },
  undo: {
    id: 'undo-boot',
    description: 'Put boot code, core image and /boot back',
    interrupt: 'finish',
  },
} as const;

/** Makes what starts a system anew, with the system's own programs, and puts it back where it does not hold. */
export const bootloaderRepair: ActionImplementation = {
  plan: async (context) =>
    (await planTables(context)) ??
    withTarget(context, { write: false }, async (target) => {
      const body = await planOf(context, target, await inspectBoot(context, target));
      if (body.steps.length > 0) await checkBackupPlace(context, body.steps[0]!.backup!.bytes);
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
    const folder = await findSavedBackups(context.undone);
    if (folder !== null && (await hasSavedTables(folder))) {
      await undoTables(context, folder);
      const detail = 'The start of the disk is as it was before the repair.';
      return fileRepairEnd(context, 'restored', [], detail, null);
    }
    return withTarget(context, { write: true }, async (target) => {
      if (folder === null) {
        return fileRepairEnd(
          context,
          'restored',
          [],
          'Nothing had been changed: nothing to put back.',
          null,
        );
      }
      await requireBootUnchanged(target, folder);
      await context.step(texts.undo, async (confirm) => {
        await confirm([]);
        await restoreBoot(context, target, folder);
      });
      const detail = 'Boot code, core image and /boot are as they were before the repair.';
      return fileRepairEnd(context, 'restored', [], detail, null);
    });
  },
};

async function apply(
  context: ActionContext,
  target: Target,
  plan: Plan | null,
): Promise<ActionResult> {
  const state = await inspectBoot(context, target);
  const body = await planOf(context, target, state);
  requireSamePlan(plan, body);
  if (body.steps.length === 0)
    return fileRepairEnd(context, 'nothing_to_do', [], body.summary, null);
  const folder = await makeBackupFolder(context);
  await context.step(texts.save, async (confirm) => {
    await confirm(await saveBoot(context, target, state, folder));
  });
  try {
    for (const part of state.wanted) {
      await context.step(texts[part], async (confirm) => {
        await confirm([]);
        const covers = part === 'initramfs' ? await settingsForAnyMachine(context, target) : [];
        for (const argv of commandsOf(part, state)) await inside(target, argv, covers);
      });
    }
    await context.step(texts.verify, async (confirm) => {
      await confirm([]);
      await verify(context, target, state);
      await noteBootAfter(target, folder);
    });
  } catch (error) {
    if (error instanceof StoppedError || context.signal.aborted) throw error;
    const said = (error as Error).message;
    context.note(`${said} Everything is put back.`);
    await restoreBoot(context, target, folder);
    const reason = error instanceof ActionError ? error.reason : 'boot_failed';
    return fileRepairEnd(context, 'rolled_back', [], `${said} Everything was put back.`, reason);
  }
  return fileRepairEnd(context, 'repaired', filesOf(state), body.summary, null);
}

/** What must be so for a boot to get through; grub-install and grub-mkconfig end with 0 also without it. */
async function verify(context: ActionContext, target: Target, state: BootState): Promise<void> {
  const { spec } = context;
  const plain = { ...context, spec: { ...spec, parameters: {} } };
  const { faults } = await inspectBoot(plain, target);
  const left = state.wanted.flatMap((part) => faults[part]);
  if (left.length > 0) throw new ActionError('verify_failed', left.slice(0, 5).join(' '));
  if (!state.wanted.includes('config')) return;
  const script = await target.runInside(['grub-script-check', GRUB_CFG], { output: 'capture' });
  if (script.exitStatus !== 0) throw new ActionError('verify_failed', script.err.slice(0, 500));
}

async function inside(
  target: Target,
  argv: readonly string[],
  covers: readonly Cover[],
): Promise<void> {
  const done = await target.runInside(argv, {
    output: 'both',
    devices: true,
    covers,
    timeoutMs: STEP_WITHIN_MS,
  });
  if (done.exitStatus === 0) return;
  throw new ActionError(
    'tool_failed',
    `${argv[0]} ended with ${done.exitStatus ?? done.signal}: ${done.err.trim().slice(-300)}`,
  );
}

function commandsOf(part: BootPart, { disk, brokenInitramfs }: BootState): string[][] {
  switch (part) {
    case 'loader':
      return [['grub-install', '--target=i386-pc', '--recheck', `--modules=${MODULES}`, disk.loop]];
    case 'initramfs':
      return brokenInitramfs.map((version) => ['mkinitramfs', '-o', initramfsOf(version), version]);
    case 'config':
      return [['grub-mkconfig', '--output', GRUB_CFG]];
  }
}

function filesOf({ wanted, brokenInitramfs, disk }: BootState): string[] {
  return [
    ...(wanted.includes('loader') ? [disk.given, '/boot/grub'] : []),
    ...(wanted.includes('initramfs') ? brokenInitramfs.map(initramfsOf) : []),
    ...(wanted.includes('config') ? [GRUB_CFG] : []),
  ];
}

async function planOf(context: ActionContext, target: Target, state: BootState): Promise<PlanBody> {
  const { wanted, faults, versions } = state;
  const what = { loader: 'GRUB on the disk', initramfs: 'the initramfs', config: 'the boot menu' };
  const bytes = await bytesOf(target, state);
  return {
    target: { ...target.ids, kernels: versions },
    summary:
      wanted.length === 0
        ? 'Nothing to do: boot code, initramfs and boot menu are there, and fit together.'
        : `Make anew: ${wanted.map((part) => what[part]).join(', ')}. Every other file stays as it is.`,
    findings: Object.values(faults).flat().slice(0, 50),
    preconditions: [
      {
        what: 'what a boot goes through',
        digest: contentDigest(Buffer.from(JSON.stringify([faults, versions, wanted]))),
      },
    ],
    steps:
      wanted.length === 0
        ? []
        : [
            saveStep(context, bytes),
            ...wanted.map((part) => partStep(context, part, state)),
            verifyStep(),
          ],
  };
}

/** Of what is saved; sizes of files as they are now. */
async function bytesOf({ files }: Target, state: BootState): Promise<number> {
  let bytes = regionsOf(state).reduce((sum, region) => sum + region.bytes, 0);
  const add = async (path: string, depth: number): Promise<void> => {
    const found = await files.lstat(path).catch(() => null);
    if (found === null || depth > 8) return;
    if (!found.isDirectory()) {
      bytes += found.size + 1024;
      return;
    }
    for (const name of await files.list(path)) await add(`${path}/${name}`, depth + 1);
  };
  for (const name of await namesInBoot({ files })) await add(`/boot/${name}`, 0);
  return bytes;
}

function saveStep(context: ActionContext, bytes: number): PlanStep {
  const where = backupFolderInPlan(context);
  return {
    ...texts.save,
    changes: [],
    declaredFolders: [where],
    backup: { what: 'boot code, core image, and everything in /boot', bytes, where },
    verify: 'What is saved is on disk with its digest before anything is written.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 5,
  };
}

function partStep(context: ActionContext, part: BootPart, state: BootState): PlanStep {
  // The loop device has another number in every job.
  const named = { ...state, disk: { ...state.disk, loop: state.disk.given } };
  const backup = { what: 'nothing more', bytes: 0, where: backupFolderInPlan(context) };
  return {
    ...texts[part],
    changes: commandsOf(part, named).map((argv) => ({ type: 'command' as const, argv })),
    declaredFolders: part === 'loader' ? ['/boot', state.disk.given] : ['/boot'],
    backup,
    verify: 'The last step.',
    undo: { possible: true, how: 'The old bytes and the old /boot are put back.' },
    interruptBoundSeconds: BOUND_SECONDS,
  };
}

function verifyStep(): PlanStep {
  return {
    ...texts.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify:
      'Boot code, core image, every kernel, initramfs and root that the menu names are there.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: BOUND_SECONDS,
  };
}
