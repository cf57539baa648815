import type { BootPart } from '../../../proto/actions/bootloader.ts';
import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { contentDigest } from '../files/file-state.ts';
import { planChangeSteps, type PlannedSteps } from '../files/change-steps.ts';
import { unifiedDiff } from '../files/unified-diff.ts';
import { backupFolderInPlan } from '../filesystem/backup-place.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { PlanBody } from '../same-plan.ts';
import { DEFAULTS, GRUBENV } from './boot-choice.ts';
import { GRUB_CFG, initramfsOf } from './boot-menu.ts';
import { entryName, hexadecimal } from './firmware/boot-entries.ts';
import type { EspState, EspWrite } from './esp/inspect-esps.ts';
import type { BootState } from './inspect-boot.ts';
import { namesInBoot } from './boot-attributes.ts';
import { regionsOf, savedDigest } from './saved-boot.ts';

const BOUND_SECONDS = 15 * 60;
/** Without it the module for the partition table is left out where GRUB cannot see the table itself. */
const MODULES = 'part_gpt part_msdos';
const FOLDERS_MAX = 16;

export const texts = {
  save: { id: 'save', description: 'Keep everything that the next steps write', interrupt: 'now' },
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
    description: 'Put back everything that the job wrote, as it was',
    interrupt: 'finish',
  },
} as const;

const what = { loader: 'GRUB on the disk', initramfs: 'the initramfs', config: 'the boot menu' };

export interface BootPlan {
  body: PlanBody;
  /** The file that says which entry is started from now on; no step where that is as wanted. */
  defaults: PlannedSteps;
  backupBytes: number;
}

/** Programs of the target write to /boot, and to the disk's boot sectors. */
export function writesBoot({ installsOn, wanted }: BootState): boolean {
  return installsOn.length > 0 || wanted.includes('initramfs') || wanted.includes('config');
}

/** What is run for a part, in the target. */
export function commandsOf(part: BootPart, state: BootState): string[][] {
  switch (part) {
    case 'loader':
      return state.installsOn.map(({ loop }) => [
        ...['grub-install', '--target=i386-pc', '--recheck', `--modules=${MODULES}`],
        loop,
      ]);
    case 'initramfs':
      return state.brokenInitramfs.map((version) => [
        ...['mkinitramfs', '-o', initramfsOf(version)],
        version,
      ]);
    case 'config':
      return [
        ...(state.makesMenu ? [['grub-mkconfig', '--output', GRUB_CFG]] : []),
        ...(state.saved === 'gone' ? [['grub-editenv', GRUBENV, 'unset', 'saved_entry']] : []),
        ...(state.saved === 'broken' ? [['grub-editenv', GRUBENV, 'create']] : []),
      ];
  }
}

export async function planBoot(
  context: ActionContext,
  target: Target,
  state: BootState,
): Promise<BootPlan> {
  const { wanted, faults, left, versions, choice, esps } = state;
  const defaults = await planChangeSteps(context, target.root, defaultsSteps(state));
  const parts = wanted.map((part) => what[part]);
  const chosen = choice === null ? [] : [`which kernel is started: ${choice.id}`];
  const backupBytes = await bytesOf(target, state);
  const body: PlanBody = {
    target: { ...target.ids, kernels: versions },
    summary:
      wanted.length === 0 && defaults.steps.length === 0
        ? nothingToDo(left)
        : `Make anew: ${[...parts, ...chosen].join(', ')}. Every other file stays as it is.`,
    findings: [...wanted.flatMap((part) => faults[part]), ...left].slice(0, 50),
    preconditions: [
      {
        what: 'what a boot goes through',
        digest: contentDigest(Buffer.from(JSON.stringify([faults, versions, wanted]))),
      },
      ...(writesBoot(state)
        ? [
            {
              what: 'boot sectors, core image and /boot',
              digest: await savedDigest(context, target, state),
            },
          ]
        : []),
      ...esps.flatMap(espPreconditions),
      ...entryPreconditions(state),
      ...defaults.preconditions,
    ],
    steps: [],
  };
  if (wanted.length === 0 && defaults.steps.length === 0) return { body, defaults, backupBytes };
  const steps = wanted.map((part) => partStep(context, part, state));
  const menu = wanted.indexOf('config');
  // The menu is made from it.
  steps.splice(menu < 0 ? steps.length : menu, 0, ...defaults.steps.map(({ step }) => step));
  body.steps = [saveStep(context, backupBytes, state), ...steps, verifyStep()];
  return { body, defaults, backupBytes };
}

function nothingToDo(left: readonly string[]): string {
  if (left.length > 0) return 'Nothing to do in what is looked at; the findings say what is left.';
  return 'Nothing to do: loader, initramfs and boot menu are there, and fit together.';
}

function defaultsSteps({ choice }: BootState) {
  if (choice === null || choice.defaults === null) return [];
  const content = Buffer.from(choice.defaults, 'latin1');
  return [
    {
      id: 'defaults',
      description: 'Say which entry of the boot menu is started',
      changes: [{ kind: 'file' as const, path: DEFAULTS, content, mode: 0o644 }],
      verify: 'The boot menu that is made from it starts this entry.',
    },
  ];
}

const espPath = ({ place }: EspState, { path }: EspWrite) => `${place}${path}`;

function espPreconditions(esp: EspState): PlanBody['preconditions'] {
  return esp.writes.map((write) => ({
    what: `${espPath(esp, write)}, as it is to become`,
    digest: contentDigest(write.bytes),
  }));
}

function espChanges(esp: EspState): PlanStep['changes'] {
  return esp.writes.map((write) => {
    const path = espPath(esp, write);
    if (write.source !== null) return { type: 'command', argv: ['cp', write.source, path] };
    const after = write.bytes.toString('utf8');
    return { type: 'diff', path, diff: unifiedDiff(path, write.before, after) };
  });
}

/** Over every entry and the order, as they are and as they are to become. */
function entryPreconditions({ entries }: BootState): PlanBody['preconditions'] {
  if (entries === null) return [];
  const { before, change } = entries;
  const now = [...before.entries].map(([number, { bytes }]) => [number, bytes.toString('hex')]);
  const added = change.added.map(({ number, bytes }) => [number, bytes.toString('hex')]);
  const all = JSON.stringify([now, before.order, added, change.order]);
  return [{ what: 'the entries of the firmware', digest: contentDigest(Buffer.from(all)) }];
}

/** As efibootmgr(8) would be called; the entries are written without it. */
function entryChanges({ entries }: BootState): PlanStep['changes'] {
  if (entries === null) return [];
  const { before, change } = entries;
  const added = change.added
    .filter(({ number }) => !before.entries.has(number))
    .map(({ number, volume, label, file }) => [
      ...['efibootmgr', '--create-only', '--bootnum', hexadecimal(number)],
      ...['--disk', volume.disk!, '--part', String(volume.partition), '--label', label],
      ...['--loader', `\\${file.replaceAll('/', '\\')}`],
    ]);
  const order = ['efibootmgr', '--bootorder', change.order.map(hexadecimal).join(',')];
  return [...added, order].map((argv) => ({ type: 'command' as const, argv }));
}

/** Of what is saved; sizes of files as they are now. */
async function bytesOf({ files, root }: Target, state: BootState): Promise<number> {
  // What a file takes, with what leads to it, as it is and as it will be.
  let bytes = state.esps
    .flatMap(({ writes }) => writes)
    .reduce((sum, write) => sum + 3 * write.bytes.length + 64 * 1024, 0);
  for (const { bytes: entry } of state.entries?.before.entries.values() ?? []) {
    bytes += 2 * entry.length + 1024;
  }
  if (!writesBoot(state)) return bytes;
  bytes += regionsOf(state).reduce((sum, region) => sum + region.bytes, 0);
  const add = async (path: string, depth: number): Promise<void> => {
    const found = await files.lstat(path).catch(() => null);
    if (found === null || depth > 8) return;
    if (!found.isDirectory()) {
      bytes += found.size + 1024;
      return;
    }
    for (const name of await files.list(path)) await add(`${path}/${name}`, depth + 1);
  };
  for (const name of await namesInBoot({ root })) await add(`/boot/${name}`, 0);
  return bytes;
}

function saveStep(context: ActionContext, bytes: number, state: BootState): PlanStep {
  const where = backupFolderInPlan(context);
  const kept = [
    ...(writesBoot(state) ? ['boot code, core image, and everything in /boot'] : []),
    ...(state.esps.length > 0 ? ['every sector of the EFI partition that is written'] : []),
    ...(state.entries === null ? [] : ['every entry of the firmware, and their order']),
  ];
  return {
    ...texts.save,
    changes: [],
    declaredFolders: [where],
    backup: { what: kept.join('; ') || 'nothing', bytes, where },
    verify: 'What is saved is on disk with its digest before anything is written.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 60,
  };
}

function partStep(context: ActionContext, part: BootPart, state: BootState): PlanStep {
  // The loop device has another number in every job.
  const installsOn = state.installsOn.map((disk) => ({ ...disk, loop: disk.given }));
  const named = { ...state, installsOn };
  const backup = { what: 'nothing more', bytes: 0, where: backupFolderInPlan(context) };
  const run = commandsOf(part, named).map((argv) => ({ type: 'command' as const, argv }));
  return {
    ...texts[part],
    changes:
      part === 'loader' ? [...run, ...state.esps.flatMap(espChanges), ...entryChanges(state)] : run,
    declaredFolders: part === 'loader' ? loaderFolders(state) : ['/boot'],
    backup,
    verify: 'The last step.',
    undo: { possible: true, how: 'What was saved is put back.' },
    interruptBoundSeconds: BOUND_SECONDS,
  };
}

/** On an EFI partition nothing is written but what is listed; its folders may be new. */
function loaderFolders({ installsOn, esps }: BootState): string[] {
  const folders = esps.flatMap((esp) =>
    esp.writes.map((write) => espPath(esp, write).replace(/\/[^/]*$/, '')),
  );
  const own = installsOn.length > 0 ? ['/boot', ...installsOn.map(({ given }) => given)] : [];
  return [...own, ...new Set(folders)].slice(0, FOLDERS_MAX);
}

function verifyStep(): PlanStep {
  return {
    ...texts.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify:
      'The loader, every kernel, initramfs and root that the menu names are there; every other file of an EFI partition and every other entry of the firmware is the same.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: BOUND_SECONDS,
  };
}

export function filesOf(state: BootState): string[] {
  const { wanted, brokenInitramfs, installsOn, esps, choice } = state;
  return [
    ...installsOn.map(({ given }) => given),
    ...(installsOn.length > 0 ? ['/boot/grub'] : []),
    ...esps.flatMap((esp) => esp.writes.map((write) => espPath(esp, write))),
    ...(state.entries?.change.added ?? []).map(({ number }) => `firmware: ${entryName(number)}`),
    ...(wanted.includes('initramfs') ? brokenInitramfs.map(initramfsOf) : []),
    ...(choice === null || choice.defaults === null ? [] : [DEFAULTS]),
    ...(state.makesMenu ? [GRUB_CFG] : []),
    ...(state.saved === null ? [] : [GRUBENV]),
  ];
}
