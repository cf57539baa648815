import { serviceRestartParameters, type AffectedUnit } from '../../../proto/actions/service.ts';
import type { ConfigurationCheck } from '../../../proto/actions/service.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { checkBackupPlace } from '../filesystem/backup-place.ts';
import { affectedUnits } from './affected-units.ts';
import { foreseeConfiguration } from './check-configuration.ts';
import { definitionPrecondition, digestOfJson } from './definition-digest.ts';
import { liveUnit, requireChangeable } from './live-unit.ts';
import { requireOrdinaryAlong } from './protected-unit.ts';
import { restartSteps } from './restart-steps.ts';
import { readUnits, standingText, type Unit } from './unit.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;
const RECORD_BYTES = 64 * 1024;

/** Plans a restart: what it takes along, whether the configuration is right, how long it may take. */
export async function planRestart(context: ActionContext): Promise<PlanBody> {
  const parameters = serviceRestartParameters.parse(context.spec.parameters);
  const unit = await liveUnit(context, parameters.unit);
  requireRestartable(unit, parameters.unit);
  await checkBackupPlace(context, RECORD_BYTES);
  const affected = await affectedUnits(context, unit);
  await requireRestartableAlong(context, unit, affected);
  const check = await foreseeConfiguration(context, unit);
  requirePassed(unit, check, parameters.ignoreFailedCheck);
  return {
    target: { unit: unit.id, state: standingText(unit.standing) },
    summary: summaryOf(unit, affected),
    findings: findingsOf(unit, affected, check),
    preconditions: await restartPreconditions(unit, affected),
    steps: restartSteps(unit, parameters, check),
  };
}

/** What must be the same when the plan is carried out; not the state, which a broken service keeps changing. */
export async function restartPreconditions(
  unit: Unit,
  affected: readonly AffectedUnit[],
): Promise<Plan['preconditions']> {
  return [
    await definitionPrecondition(unit),
    {
      what: `which units a restart of ${unit.id} takes along`,
      digest: digestOfJson(affected.map((other) => [other.unit, other.how])),
    },
  ];
}

/** Throws ActionError `unit_protected` when a restart takes along what no restart may. */
export async function requireRestartableAlong(
  context: Pick<ActionContext, 'run'>,
  unit: Unit,
  affected: readonly AffectedUnit[],
): Promise<void> {
  const names = affected.map((other) => other.unit);
  requireOrdinaryAlong(unit, await readUnits(context, names));
}

function requireRestartable(unit: Unit, name: string): void {
  requireChangeable(unit, name);
  const { load } = unit.standing;
  if (load === 'masked') {
    throw new ActionError(
      'unit_masked',
      `${unit.id} is masked, so nothing may start it: order service.configure with masked=false first`,
    );
  }
  if (load !== 'loaded') {
    throw new ActionError(
      'unit_broken',
      `systemd cannot load ${unit.id}: ${unit.loadError || load}`,
    );
  }
  if (unit.isStartRefused || unit.isStopRefused) {
    throw new ActionError('restart_not_allowed', `${unit.id} is not to be restarted by hand`);
  }
}

/** A service that runs goes on with what it has read; restarted with a wrong configuration it stays down. */
export function requirePassed(
  unit: Unit,
  check: ConfigurationCheck | null,
  ignoreFailedCheck: boolean,
): void {
  if (check === null || check.passed || ignoreFailedCheck) return;
  throw new ActionError(
    'configuration_wrong',
    `the configuration of ${unit.id} is wrong, so it was not restarted; ${check.argv.join(' ')} says: ${check.said}`,
  );
}

function summaryOf(unit: Unit, affected: readonly AffectedUnit[]): string {
  const description = unit.description === '' ? '' : ` (${unit.description})`;
  const with_ =
    affected.length === 0
      ? 'No other unit is restarted or stopped with it.'
      : `With it: ${affected
          .map((other) => `${other.unit} ${other.how}`)
          .join(', ')
          .slice(0, 1000)}.`;
  return `Restart ${unit.id}${description}, which is ${standingText(unit.standing)}. ${with_}`;
}

function findingsOf(
  unit: Unit,
  affected: readonly AffectedUnit[],
  check: ConfigurationCheck | null,
): string[] {
  const { standing } = unit;
  const ended = [standing.result ?? '', unit.exit].filter((text) => text !== '').join(', ');
  const last = (text: string) => text.slice(-300);
  return [
    standing.active === 'failed' ? `It has failed: ${ended}.` : '',
    check === null
      ? 'No checker of its configuration is known or installed: it is restarted unchecked.'
      : check.passed
        ? `Its configuration is right: ${check.argv.join(' ')} finds no fault.`
        : `Its configuration is wrong, which the order says to ignore: ${last(check.said)}`,
    unit.needsReload
      ? 'Its files have changed since systemd has read them; this restart goes by the old ones.'
      : '',
    ['disabled', 'masked'].includes(standing.enablement)
      ? 'It is not enabled: after a reboot of the server it does not start by itself.'
      : '',
    unit.triggeredBy.length > 0 ? `Started on demand by ${unit.triggeredBy.join(', ')}.` : '',
    unit.requires.length > 0 ? `Needs ${unit.requires.join(', ')}.` : '',
    affected.some((other) => other.unit === 'intervene-agent.service')
      ? 'The agent itself is restarted with it; this job goes on meanwhile.'
      : '',
  ]
    .filter((text) => text !== '')
    .map((text) => text.slice(0, 500));
}
