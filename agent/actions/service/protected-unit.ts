import { ActionError } from '../../runner/action.ts';
import type { Unit } from './unit.ts';

/** What has to be known of a unit to tell whether it is an ordinary one. */
export interface ProtectableUnit extends Pick<Unit, 'id' | 'names' | 'systemActions' | 'starts'> {
  standing: Pick<Unit['standing'], 'active'>;
}

/** The agent's own: a job that stopped it or changed what it runs would be its last. */
const OWN_UNIT = 'intervene-agent.service';

/** What ends the system, leaves its normal operation, or opens a root shell without a password. */
const SYSTEM_STATE =
  /^(?:debug-shell|rescue|emergency|final|exit|ctrl-alt-del|shutdown|reboot|soft-reboot|poweroff|halt|kexec|kexec-load|sleep|suspend|hibernate|hybrid-sleep|suspend-then-hibernate|initrd-.*)\.[a-z]+$/;

/** Its instance says what is loaded into the kernel, or whose sessions end. */
const BY_INSTANCE = /^(?:modprobe|user|user-runtime-dir)@/;

/** Of systemd's own units, the daemons that people restart. */
const ORDINARY_DAEMONS = new Set(
  ['networkd', 'resolved', 'timesyncd', 'journald', 'logind', 'udevd'].map(
    (name) => `systemd-${name}.service`,
  ),
);

/**
 * Throws ActionError `unit_protected` for a unit that is no ordinary one: a restart or another set-up of it
 * would do what only an action of class C may.
 */
export function requireOrdinary(unit: ProtectableUnit): void {
  const why =
    whyUntouchable(unit) ??
    (namesOf(unit).some((name) => name.startsWith('systemd-')) && !ORDINARY_DAEMONS.has(unit.id)
      ? `is systemd's own; of these, jobs change ${[...ORDINARY_DAEMONS].join(', ')} only`
      : null) ??
    whyNewInstance(unit);
  if (why !== null) throw new ActionError('unit_protected', `${unit.id} ${why}`);
}

/** The same for what a restart of `unit` takes along; systemd's own units are then as any other. */
export function requireOrdinaryAlong(unit: Unit, along: readonly Unit[]): void {
  for (const other of along) {
    const why = whyUntouchable(other);
    if (why === null) continue;
    throw new ActionError(
      'unit_protected',
      `a restart of ${unit.id} takes ${other.id} along, which ${why}`,
    );
  }
}

/** Goes on behind the name of the unit; null for one that may be touched. */
function whyUntouchable(unit: ProtectableUnit): string | null {
  const names = namesOf(unit);
  if (names.includes(OWN_UNIT)) return 'is what carries this job out';
  if (names.some((name) => SYSTEM_STATE.test(name))) {
    return "ends the system's normal operation or opens a way into it: no job restarts it or sets it up";
  }
  if (names.some((name) => BY_INSTANCE.test(name))) {
    return "belongs to the kernel's modules or a user's sessions: no job restarts it or sets it up";
  }
  if (unit.systemActions.length > 0) {
    return `may end the whole system (${unit.systemActions.join(', ')}): no job restarts it or sets it up`;
  }
  const started = unit.starts.find((name) => SYSTEM_STATE.test(name));
  return started === undefined
    ? null
    : `may start ${started}, which no job of this kind does: it is not restarted or set up`;
}

/** A template makes a unit of any name that is asked for. */
function whyNewInstance({ id, standing }: ProtectableUnit): string | null {
  if (!id.includes('@') || standing.active !== 'inactive') return null;
  return 'is an instance of a template that does not run now: jobs change those that run or have failed; let the client start it first';
}

function namesOf({ id, names }: Pick<Unit, 'id' | 'names'>): string[] {
  return [id, ...names];
}
