import { join } from 'node:path';
import type { z } from 'zod';
import {
  serviceRestartParameters,
  type AffectedUnit,
  type ConfigurationCheck,
  type ServiceRestartResult,
} from '../../../proto/actions/service.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { makeBackupFolder } from '../filesystem/backup-place.ts';
import { writeBackup } from '../filesystem/durable-write.ts';
import { affectedUnits } from './affected-units.ts';
import { checkConfiguration } from './check-configuration.ts';
import { requireSame } from './definition-digest.ts';
import { liveUnit, requireChangeable } from './live-unit.ts';
import { requirePassed, requireRestartableAlong, restartPreconditions } from './plan-restart.ts';
import { RUN_STATE_FILE, type RunState } from './run-state.ts';
import { killCommand, restartBoundSeconds, restartDescription } from './restart-steps.ts';
import { restartStepTexts, verifyDescription } from './restart-steps.ts';
import { systemctl } from './systemctl.ts';
import { isUp, readUnit, readUnits, standingText, type Unit } from './unit.ts';
import { journalEnd, readFailureJournal, readUnitJournal, reasonOf } from './unit-journal.ts';
import { watchUnit } from './watch-unit.ts';

type Parameters = z.output<typeof serviceRestartParameters>;
const JOURNAL_LINES = 30;

/** Carries out a plan of `planRestart`. */
export async function applyRestart(
  context: ActionContext,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'a restart needs a plan');
  const parameters = serviceRestartParameters.parse(context.spec.parameters);
  const before = await liveUnit(context, parameters.unit);
  const affected = await affectedUnits(context, before);
  requireSame(plan, await restartPreconditions(before, affected));
  requireChangeable(before, parameters.unit);
  await requireRestartableAlong(context, before, affected);
  const isPlanned = (id: string) => plan.steps.some((step) => step.id === id);

  let check: ConfigurationCheck | null = null;
  if (isPlanned(restartStepTexts.check.id)) {
    await context.step(restartStepTexts.check, async (confirm) => {
      await confirm([]);
      check = await checkConfiguration(context, before);
      requirePassed(before, check, parameters.ignoreFailedCheck);
    });
  }
  if (before.standing.active === 'failed') {
    await context.step(restartStepTexts.forget, async (confirm) => {
      await confirm([]);
      await systemctl(context, ['reset-failed', before.id]);
    });
  }
  const since = await journalEnd(context);
  await restart(context, parameters, before, affected);
  let after = before;
  const watching = {
    ...restartStepTexts.verify,
    description: verifyDescription(before, parameters),
  };
  await context.step(watching, async (confirm) => {
    await confirm([]);
    after = await watchUnit(context, before.id, parameters.watchSeconds * 1000);
  });
  return resultOf(context, { before, after, affected, check, since });
}

async function restart(
  context: ActionContext,
  parameters: Parameters,
  unit: Unit,
  affected: readonly AffectedUnit[],
): Promise<void> {
  const step = { ...restartStepTexts.restart, description: restartDescription(unit, parameters) };
  await context.step(step, async (confirm) => {
    const state: RunState = {
      version: 1,
      unit: unit.id,
      wasUp: isUp(unit.standing),
      others: affected.map((other) => other.unit),
    };
    const file = join(await makeBackupFolder(context), RUN_STATE_FILE);
    await confirm([await writeBackup(file, JSON.stringify(state))]);
    const { stopWithinSeconds } = parameters;
    const killing =
      stopWithinSeconds === undefined
        ? null
        : setTimeout(() => void killIfStopping(context, unit.id), stopWithinSeconds * 1000);
    try {
      const timeoutMs = restartBoundSeconds(unit, parameters) * 1000;
      await systemctl(context, ['restart', unit.id], { timeoutMs });
    } finally {
      if (killing !== null) clearTimeout(killing);
    }
  });
}

/** What stops may have stopped by now, and be starting: that is not to be killed. */
async function killIfStopping(context: ActionContext, name: string): Promise<void> {
  try {
    const unit = await readUnit(context, name);
    if (unit.standing.active !== 'deactivating') return;
    context.note(`${name} has not stopped in time: its processes are killed.`);
    const [, ...words] = killCommand(name);
    await systemctl(context, words);
  } catch (error) {
    context.note(`${name} could not be killed: ${(error as Error).message}`);
  }
}

interface Done {
  before: Unit;
  after: Unit;
  affected: readonly AffectedUnit[];
  check: ConfigurationCheck | null;
  since: string | null;
}

async function resultOf(context: ActionContext, done: Done): Promise<ActionResult> {
  const { before, after, affected, check, since } = done;
  const outcome = outcomeOf(after);
  const succeeded = outcome === 'running' || outcome === 'ended_well';
  const read = succeeded ? readUnitJournal : readFailureJournal;
  const journal = await read(context, after.id, JOURNAL_LINES, since);
  const because = succeeded ? null : reasonOf(journal);
  const others = await readUnits(
    context,
    affected.map(({ unit }) => unit),
  );
  const result: ServiceRestartResult = {
    outcome,
    unit: after.id,
    before: before.standing,
    after: after.standing,
    affected: affected.map(({ unit, active }, at) => ({
      unit,
      before: active,
      after: others[at]?.standing.active ?? 'unknown',
    })),
    check,
    because,
    journal,
    detail: sentences(after, outcome, because).slice(0, 2000),
  };
  context.note(result.detail);
  const reason = outcome === 'still_stopping' ? 'stop_timed_out' : 'restart_failed';
  return { succeeded, reason: succeeded ? null : reason, exitStatus: null, result };
}

function outcomeOf({ standing, type }: Unit): ServiceRestartResult['outcome'] {
  const { active, sub, result } = standing;
  if (active === 'deactivating') return 'still_stopping';
  if ((active === 'active' || active === 'reloading') && sub !== 'auto-restart') return 'running';
  const mayEnd = type === 'oneshot' || type === 'simple' || type === 'exec';
  return active === 'inactive' && result === 'success' && mayEnd ? 'ended_well' : 'failed';
}

function sentences(
  unit: Unit,
  outcome: ServiceRestartResult['outcome'],
  because: string | null,
): string {
  const { id, standing } = unit;
  switch (outcome) {
    case 'running':
      return `${id} was restarted and is ${standingText(standing)}${standing.mainPid === null ? '' : `, main process ${standing.mainPid}`}.`;
    case 'ended_well':
      return `${id} was started, did its work and ended without an error.`;
    case 'still_stopping':
      return `${id} is still stopping. Nothing was killed; systemd goes on. Order it with stopWithinSeconds to have its processes killed.`;
    default: {
      const how = [standing.result, unit.exit].filter(Boolean).join(', ');
      const why =
        because === null ? 'Its journal does not say why.' : `Its journal says: ${because}`;
      return `${id} does not run: ${standingText(standing)}${how === '' ? '' : `; ${how}`}. ${why}`;
    }
  }
}
