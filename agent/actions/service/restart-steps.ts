import type { z } from 'zod';
import type {
  ConfigurationCheck,
  serviceRestartParameters,
} from '../../../proto/actions/service.ts';
import type { PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { isUp, type Unit } from './unit.ts';

type Parameters = z.output<typeof serviceRestartParameters>;

/** How long a unit without a limit of its own is waited for; then the job says that it is still at it. */
const UNLIMITED_WAIT_MS = 600_000;
const MARGIN_SECONDS = 30;
const MAX_BOUND_SECONDS = 24 * 3600;

export const restartStepTexts = {
  check: { id: 'check', description: 'Check the configuration again', interrupt: 'now' },
  forget: {
    id: 'reset-failed',
    description: 'Forget the failures, so that the limit of starts does not hold it back',
    interrupt: 'finish',
  },
  restart: { id: 'restart', interrupt: 'finish' },
  verify: { id: 'verify', interrupt: 'now' },
} as const;

const unchanged = { possible: true, how: 'Nothing is changed.' } as const;

export function restartSteps(
  unit: Unit,
  parameters: Parameters,
  check: ConfigurationCheck | null,
): PlanStep[] {
  const steps: PlanStep[] = [];
  if (check !== null) {
    steps.push({
      ...restartStepTexts.check,
      changes: [{ type: 'command', argv: check.argv }],
      declaredFolders: [],
      backup: null,
      verify: parameters.ignoreFailedCheck
        ? 'What it says is in the result; the restart does not depend on it.'
        : 'It finds no fault; else nothing is restarted.',
      undo: unchanged,
      interruptBoundSeconds: 5,
    });
  }
  if (unit.standing.active === 'failed') {
    steps.push({
      ...restartStepTexts.forget,
      changes: [{ type: 'command', argv: ['systemctl', 'reset-failed', unit.id] }],
      declaredFolders: [],
      backup: null,
      verify: 'systemctl exits with 0.',
      undo: {
        possible: true,
        how: 'The mark of failure is not needed: a stopped unit is as good.',
      },
      interruptBoundSeconds: 10,
    });
  }
  steps.push(restartStep(unit, parameters), {
    ...restartStepTexts.verify,
    description: verifyDescription(unit, parameters),
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: 'Its state by systemctl show; if it failed, the reason is taken from its journal.',
    undo: unchanged,
    interruptBoundSeconds: 5,
  });
  return steps;
}

function restartStep(unit: Unit, parameters: Parameters): PlanStep {
  const { stopWithinSeconds } = parameters;
  return {
    ...restartStepTexts.restart,
    description: restartDescription(unit, parameters),
    changes: [
      { type: 'command', argv: ['systemctl', 'restart', unit.id] },
      ...(stopWithinSeconds === undefined
        ? []
        : [{ type: 'command' as const, argv: killCommand(unit.id) }]),
    ],
    declaredFolders: [],
    backup: { what: 'which of the units run', bytes: 0, where: 'jobs/JOB/backups' },
    verify: 'The next step.',
    undo: { possible: true, how: undoText(unit) },
    interruptBoundSeconds: restartBoundSeconds(unit, parameters),
  };
}

export function killCommand(unit: string): string[] {
  return ['systemctl', 'kill', '--signal=SIGKILL', unit];
}

export function restartDescription(
  unit: Unit,
  { stopWithinSeconds }: Pick<Parameters, 'stopWithinSeconds'>,
): string {
  if (!isUp(unit.standing)) return `Start ${unit.id}, which does not run`;
  if (stopWithinSeconds !== undefined) {
    return `Restart ${unit.id}; if it has not stopped after ${stopWithinSeconds} s, its processes are killed`;
  }
  return unit.stopLimitMs === null
    ? `Restart ${unit.id}; it may take as long as it wants to stop, and after ${UNLIMITED_WAIT_MS / 1000} s is not waited for any more`
    : `Restart ${unit.id}; if it has not stopped after ${seconds(unit.stopLimitMs)} s, systemd ends it`;
}

export function verifyDescription(
  unit: Unit,
  { watchSeconds }: Pick<Parameters, 'watchSeconds'>,
): string {
  return `Watch ${unit.id} for ${watchSeconds} s`;
}

/** What can be brought back, and what cannot. */
function undoText(unit: Unit): string {
  return isUp(unit.standing)
    ? 'Only that it runs can be brought back: it is started if it does not. What its processes held in memory, and their connections, are gone.'
    : 'It is stopped again, as it was before.';
}

/** Stopping may take its limit twice: once until it is asked harder, once more until it is given up. */
export function restartBoundSeconds(
  unit: Unit,
  { stopWithinSeconds }: Pick<Parameters, 'stopWithinSeconds'>,
): number {
  const own = unit.stopLimitMs === null ? UNLIMITED_WAIT_MS : 2 * unit.stopLimitMs;
  const stop =
    stopWithinSeconds === undefined ? own : Math.min(own, stopWithinSeconds * 1000 + 10_000);
  const start = unit.startLimitMs ?? UNLIMITED_WAIT_MS;
  return Math.min(seconds(stop + start) + MARGIN_SECONDS, MAX_BOUND_SECONDS);
}

function seconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1000);
}
