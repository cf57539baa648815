import {
  serviceConfigureParameters,
  serviceOverrideParameters,
} from '../../../proto/actions/service.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { planFileChange, type PlannedFileChange } from '../files/plan-file-change.ts';
import { dropInPath, dropInText, unboundedSettings } from './drop-in.ts';
import { sameNameDropIns } from './same-name-drop-ins.ts';
import type { Unit } from './unit.ts';

/** What an order of `service.configure` or `service.override` wants, of either. */
export interface Wishes {
  unit: string;
  enabled?: boolean | undefined;
  masked?: boolean | undefined;
  dropIn?: string | undefined;
  settings?: string[] | undefined;
  removeDropIn?: string | undefined;
}

/** Reads the parameters by the schema of the action that was ordered: its class rests on that. */
export function readWishes({ spec }: Pick<ActionContext, 'spec'>): Wishes {
  return spec.action === 'service.override'
    ? serviceOverrideParameters.parse(spec.parameters)
    : serviceConfigureParameters.parse(spec.parameters);
}

/**
 * The drop-in that is to be written or removed; null when none is. Throws ActionError for one that only
 * `service.override` may replace or remove.
 */
export async function wantedDropIn(
  context: Pick<ActionContext, 'spec'>,
  root: TargetRoot,
  unit: Pick<Unit, 'id' | 'names' | 'dropIns'>,
  wishes: Wishes,
): Promise<PlannedFileChange | null> {
  const name = wishes.dropIn ?? wishes.removeDropIn;
  if (name === undefined) return null;
  const path = dropInPath(unit.id, name);
  const content = wishes.settings === undefined ? null : Buffer.from(dropInText(wishes.settings));
  const planned = await planFileChange(root, { path, content, mode: 0o644 });
  if (content === null && planned.before === null) throw notThere(unit, path);
  if (planned.isNeeded && context.spec.action !== 'service.override') {
    const others = unboundedSettings(planned.before?.bytes.toString('utf8') ?? '');
    if (others.length > 0) throw needsOverride(path, others);
    for (const other of await sameNameDropIns(root.path, unit, name, path)) {
      if (other.unbounded.length > 0) throw needsOverride(other.path, other.unbounded, path);
    }
  }
  return planned;
}

function notThere(unit: Pick<Unit, 'id' | 'dropIns'>, path: string): ActionError {
  const others = unit.dropIns.length === 0 ? 'it has none' : `it has ${unit.dropIns.join(', ')}`;
  return new ActionError('drop_in_not_found', `there is no ${path}; of ${unit.id} ${others}`);
}

function needsOverride(path: string, settings: readonly string[], hider?: string): ActionError {
  const hidden =
    hider === undefined ? '' : `, and systemd reads it only while there is no ${hider}`;
  return new ActionError(
    'needs_override',
    `${path} decides what the service runs or may do (${settings.slice(0, 5).join(', ')})${hidden}: order service.override, which is of class C`,
  );
}

/** The commands that make enablement and mask as wanted, in order. Throws ActionError for what cannot be. */
export function linkCommands(unit: Unit, { enabled, masked }: Wishes): string[][] {
  const { enablement, load } = unit.standing;
  const isMasked = load === 'masked' || enablement.startsWith('masked');
  const commands: string[][] = [];
  // systemd reads everything once, afterwards.
  const command = (verb: string) => ['systemctl', '--no-reload', verb, unit.id];
  if (masked === false && isMasked) commands.push(command('unmask'));
  if (enabled !== undefined) {
    if (isMasked && masked !== false) {
      throw new ActionError('unit_masked', `${unit.id} is masked: give masked=false, too`);
    }
    const isEnabled = enablement === 'enabled';
    // While it is masked nobody can tell.
    const needed = isMasked || (enabled ? !isEnabled : enablement !== 'disabled');
    if (needed && !isMasked && !['enabled', 'disabled', 'enabled-runtime'].includes(enablement)) {
      throw new ActionError(
        'unit_not_installable',
        `${unit.id} is ${enablement || 'without a file'}: it says itself when it starts, and can be neither enabled nor disabled`,
      );
    }
    if (needed) commands.push(command(enabled ? 'enable' : 'disable'));
  }
  if (masked === true && !isMasked) {
    if (unit.file?.startsWith('/etc/systemd/system/') === true) {
      throw new ActionError(
        'unit_file_in_the_way',
        `${unit.file} is the unit itself, where a mask would have to lie; disable it instead`,
      );
    }
    commands.push(command('mask'));
  }
  return commands;
}
