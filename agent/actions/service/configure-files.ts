import { serviceConfigureParameters } from '../../../proto/actions/service.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { Change } from '../files/change-steps.ts';
import { fileRepair, type FileRepairPlan } from '../files/file-repair.ts';
import { planChangeSteps } from '../files/change-steps.ts';
import { readWishes, wantedDropIn, type Wishes } from './configure-wishes.ts';
import { dropInPath, dropInText } from './drop-in.ts';
import { requireOrdinary } from './protected-unit.ts';
import { OWN_UNITS, readStoredUnit, type StoredUnit } from './stored-unit.ts';

const DEFAULT_TARGET = `${OWN_UNITS}/default.target`;

/**
 * Sets a unit up by its files, as `systemctl --root` would: of a system on disks, where no systemd can be
 * asked, and the target that a boot ends in.
 */
export const configureFiles = fileRepair({
  inspect,
  async findFault(context, target) {
    const { steps } = await inspect(context, target);
    const left = await planChangeSteps(context, target.root, steps);
    return left.steps.length === 0 ? null : 'The unit is not set up as it was ordered.';
  },
});

async function inspect(context: ActionContext, target: Target): Promise<FileRepairPlan> {
  const changes = wantsDefault(context)
    ? await defaultTarget(context, target)
    : await unitChanges(context, target);
  const { steps } = await planChangeSteps(context, target.root, [
    { id: 'unit', description: '', changes, verify: '' },
  ]);
  const { unit } = readWishes(context);
  return {
    summary: steps.length === 0 ? `Nothing to do: ${unit} is so.` : `Set ${unit} up as ordered.`,
    findings: [],
    steps: [
      {
        id: 'unit',
        description: `Set ${unit} up`.slice(0, 500),
        changes,
        verify: 'Files and links are as systemd needs them.',
      },
    ],
    target: { unit },
    verify: 'The files are read again.',
  };
}

/** Whether the order is about where a boot ends, which is a file of a running system, too. */
export function wantsDefault({ spec }: Pick<ActionContext, 'spec'>): boolean {
  if (spec.action !== 'service.configure') return false;
  return serviceConfigureParameters.parse(spec.parameters).isDefault === true;
}

async function defaultTarget(context: ActionContext, { files }: Target): Promise<Change[]> {
  const { unit } = serviceConfigureParameters.parse(context.spec.parameters);
  const stored = await readStoredUnit(files, unit);
  if (stored.file === null) throw new ActionError('unit_masked', `${unit} is masked`);
  const now = await files.readLink(DEFAULT_TARGET);
  // Another spelling of the same is as good.
  if (now?.split('/').at(-1) === unit) return [];
  return [{ kind: 'link', path: DEFAULT_TARGET, target: stored.file }];
}

async function unitChanges(context: ActionContext, target: Target): Promise<Change[]> {
  const wishes = readWishes(context);
  const unit = await readStoredUnit(target.files, wishes.unit);
  requireOrdinary(unit);
  return [
    ...(await maskChanges(target, unit, wishes)),
    ...(await enablementChanges(target, unit, wishes)),
    ...(await dropInChanges(context, target, unit, wishes)),
  ];
}

async function maskChanges(
  { files }: Target,
  { id, isMasked }: StoredUnit,
  { masked }: Wishes,
): Promise<Change[]> {
  const path = `${OWN_UNITS}/${id}`;
  if (masked === undefined || masked === isMasked) return [];
  if (masked) {
    if ((await files.lstat(path)) !== null) {
      throw new ActionError(
        'unit_file_in_the_way',
        `${path} is the unit itself, where a mask would have to lie; disable it instead`,
      );
    }
    return [{ kind: 'link', path, target: '/dev/null' }];
  }
  const isLink = (await files.lstat(path))?.isSymbolicLink() === true;
  return isLink
    ? [{ kind: 'link', path, target: null }]
    : [{ kind: 'file', path, content: null, mode: 0o644 }];
}

/** Links as `systemctl enable` makes them for the [Install] section, and all that `disable` takes away. */
async function enablementChanges(
  { files }: Target,
  unit: StoredUnit,
  { enabled, masked }: Wishes,
): Promise<Change[]> {
  if (enabled === undefined) return [];
  if (unit.isMasked && masked !== false) {
    throw new ActionError('unit_masked', `${unit.id} is masked: give masked=false, too`);
  }
  const wanted = installLinks(unit);
  if (wanted.length === 0) {
    throw new ActionError(
      'unit_not_installable',
      `${unit.id} has no [Install] section: it says itself when it starts, and can be neither enabled nor disabled`,
    );
  }
  const file = unit.file!;
  if (enabled) {
    const missing: Change[] = [];
    for (const path of wanted) {
      if ((await files.lstat(path)) === null) missing.push({ kind: 'link', path, target: file });
    }
    return missing;
  }
  const there: Change[] = [];
  for (const path of [...wanted, ...(await linksTo(files, unit.id))]) {
    if (there.some((change) => change.path === path)) continue;
    if ((await files.readLink(path)) !== null) there.push({ kind: 'link', path, target: null });
  }
  return there;
}

function installLinks({ id, install }: StoredUnit): string[] {
  const folders = (key: string, suffix: string) =>
    (install.get(key) ?? []).map((target) => `${OWN_UNITS}/${target}.${suffix}/${id}`);
  return [
    ...folders('WantedBy', 'wants'),
    ...folders('RequiredBy', 'requires'),
    ...(install.get('Alias') ?? []).filter((name) => name !== id).map((n) => `${OWN_UNITS}/${n}`),
  ].filter((path) => !/[%/]\.\.?(?:\/|$)|%/.test(path));
}

async function linksTo(files: Target['files'], id: string): Promise<string[]> {
  const folders = (await files.list(OWN_UNITS)).filter((name) =>
    /\.(?:wants|requires)$/.test(name),
  );
  return folders.map((folder) => `${OWN_UNITS}/${folder}/${id}`);
}

async function dropInChanges(
  context: ActionContext,
  target: Target,
  unit: StoredUnit,
  wishes: Wishes,
): Promise<Change[]> {
  const removed = wishes.removeDropIn;
  const isGone = removed !== undefined && !(await isThere(target, dropInPath(unit.id, removed)));
  if (isGone) return [];
  const asLive = { id: unit.id, names: [unit.id], dropIns: [] };
  const planned = await wantedDropIn(context, target.root, asLive, wishes);
  if (planned === null || !planned.isNeeded) return [];
  const path = dropInPath(unit.id, (wishes.dropIn ?? wishes.removeDropIn)!);
  const content = wishes.settings === undefined ? null : Buffer.from(dropInText(wishes.settings));
  return [{ kind: 'file', path, content, mode: 0o644 }];
}

async function isThere({ files }: Target, path: string): Promise<boolean> {
  return (await files.lstat(path)) !== null;
}
