import { ActionError, type ActionContext } from '../../runner/action.ts';
import { findSystems, type FoundSystem } from './find-systems.ts';
import type { OpenDisks } from './open-disks.ts';
import { describeVolume } from './volumes.ts';

type Expected = ActionContext['spec']['expect'];
const NAMES = ['hostname', 'machineId'] as const;

/** The order says which system it means; another one is left alone, whatever disk it lies on. */
export function requireExpected(system: FoundSystem, expected: Expected): void {
  const differs = differenceOf(system, expected);
  if (differs === undefined) return;
  throw new ActionError(
    'identity_mismatch',
    `the order expects the ${differs === 'hostname' ? 'host name' : 'machine id'} ` +
      `${expected![differs]}; the system on the disks has ${system[differs] ?? 'none'}`,
  );
}

/**
 * For what works on disks and opens no system: the order's is among those on them. Where none can be read, which
 * may be what is to be repaired, nothing is compared, and that is noted.
 *
 * Throws ActionError `identity_mismatch`, `system_missing`.
 */
export async function requireExpectedAmong(
  context: Pick<ActionContext, 'run' | 'signal' | 'spec' | 'note'>,
  { volumes, place }: Pick<OpenDisks, 'volumes' | 'place'>,
): Promise<void> {
  const { expect: expected, target } = context.spec;
  const named = target?.['filesystem'];
  if (typeof named !== 'string' && NAMES.every((name) => expected?.[name] === undefined)) return;
  const { systems, problems } = await findSystems(context, volumes, place);
  const meant = systems.filter(({ id }) => typeof named !== 'string' || id === named);
  if (meant.some((system) => differenceOf(system, expected) === undefined)) return;
  if (systems.length === 0 || problems.length > 0) {
    context.note('Which system this is was not compared with the order: it cannot be read.');
    return;
  }
  const [other] = meant;
  if (other !== undefined) requireExpected(other, expected);
  const list = systems.map(({ id, root }) => `${id} (${describeVolume(root)})`).join('; ');
  throw new ActionError(
    'system_missing',
    `the system ${named as string} is on none of the disks. Found: ${list}`,
  );
}

function differenceOf(system: FoundSystem, expected: Expected) {
  return NAMES.find((name) => expected?.[name] !== undefined && expected[name] !== system[name]);
}
