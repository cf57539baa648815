import type { AffectedUnit } from '../../../proto/actions/service.ts';
import type { ActionContext } from '../../runner/action.ts';
import { isUp, readUnits, type Unit } from './unit.ts';

const MAX_UNITS = 256;

/**
 * The running units that systemd restarts or stops with this one: those that require it, are bound to it or
 * part of it, and so on from each of them. Sorted by name.
 */
export async function affectedUnits(
  context: Pick<ActionContext, 'run'>,
  unit: Unit,
): Promise<AffectedUnit[]> {
  const seen = new Set([...unit.names, unit.id]);
  const affected: AffectedUnit[] = [];
  let wave = nextOf(unit, seen);
  while (wave.size > 0 && affected.length < MAX_UNITS) {
    const names = [...wave.keys()].slice(0, MAX_UNITS);
    const units = await readUnits(context, names);
    const next = new Map<string, AffectedUnit['how']>();
    for (const [at, found] of units.entries()) {
      const how = wave.get(names[at]!)!;
      if (!isUp(found.standing)) continue;
      affected.push({ unit: found.id.slice(0, 256), how, active: found.standing.active });
      for (const [name, itsHow] of nextOf(found, seen)) {
        next.set(name, how === 'stopped' ? 'stopped' : itsHow);
      }
    }
    wave = next;
  }
  return affected.slice(0, MAX_UNITS).toSorted((a, b) => (a.unit < b.unit ? -1 : 1));
}

function nextOf(unit: Unit, seen: Set<string>): Map<string, AffectedUnit['how']> {
  const next = new Map<string, AffectedUnit['how']>();
  const take = (name: string, how: AffectedUnit['how']) => {
    if (seen.has(name)) return;
    seen.add(name);
    next.set(name, how);
  };
  for (const name of unit.restartsWithIt) take(name, 'restarted');
  for (const name of unit.stopsWithIt) take(name, 'stopped');
  return next;
}
