import { restoreSshParameters } from '../../../../proto/actions/access.ts';
import type { PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { planChangeSteps, type PlannedSteps } from '../../files/change-steps.ts';
import { checkBackupPlace } from '../../filesystem/backup-place.ts';
import { withRepairTarget } from '../../files/repair-target.ts';
import type { PlanBody } from '../../same-plan.ts';
import { isRunning } from './ssh-daemon.ts';
import { findSshRepairs, type SshRepairs } from './ssh-repairs.ts';

export const restoreStepTexts = {
  check: {
    id: 'check',
    description: 'Ask sshd whether it would start; if not, put everything back',
    interrupt: 'finish',
  },
  start: {
    id: 'start',
    description: 'Let sshd read everything again, or start it; sessions that are open stay',
    interrupt: 'finish',
  },
  verify: {
    id: 'verify',
    description: 'Look whether sshd answers; if not, put everything back',
    interrupt: 'finish',
  },
} as const;

const RECORD_BYTES = 64 * 1024;
const MODES_ONLY = new Set(['key', 'key-modes', 'nologin']);

export function planRestore(context: ActionContext): Promise<PlanBody> {
  return withRepairTarget(context, { write: false }, async (target) => {
    const parameters = restoreSshParameters.parse(context.spec.parameters);
    const repairs = await findSshRepairs(context, target, parameters);
    const { body, planned } = await restorePlan(context, target, repairs);
    if (body.steps.length === 0 && repairs.left.length > 0) {
      throw new ActionError('decision_needed', repairs.left.join(' '));
    }
    await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
    return body;
  });
}

/** The plan for what was found; made again when it is carried out, it must be the same. */
export async function restorePlan(
  context: ActionContext,
  target: Target,
  repairs: SshRepairs,
): Promise<{ body: PlanBody; planned: PlannedSteps; isStarted: boolean }> {
  const planned = await planChangeSteps(context, target.root, repairs.steps(null));
  const isStarted = await mustStart(context, target, repairs, planned);
  const isNeeded = planned.steps.length > 0 || isStarted;
  const body: PlanBody = {
    target: { ...target.ids, ...(repairs.service !== null && { unit: repairs.service }) },
    summary: summaryOf(planned, isStarted, repairs),
    findings: [...repairs.findings, ...repairs.left.map((text) => `Left: ${text}`)].map((text) =>
      text.slice(0, 500),
    ),
    preconditions: planned.preconditions,
    steps: isNeeded
      ? [
          ...planned.steps.map(({ step }) => step),
          checkStep(),
          ...(isStarted ? [startStep(repairs)] : []),
          ...(target.kind === 'live' ? [verifyStep(repairs)] : []),
        ]
      : [],
  };
  return { body, planned, isStarted };
}

/** Only a running system has an sshd to start, and keys and homes it looks at anew for everybody. */
async function mustStart(
  context: ActionContext,
  target: Target,
  { service, socket }: SshRepairs,
  { steps }: PlannedSteps,
): Promise<boolean> {
  if (target.kind === 'offline' || service === null) return false;
  if (steps.some(({ step }) => !MODES_ONLY.has(step.id))) return true;
  return !(await isRunning(context, socket ?? service));
}

function summaryOf(
  { steps }: PlannedSteps,
  isStarted: boolean,
  { letIn, left, service }: SshRepairs,
): string {
  const rest = left.length > 0 ? ` Not repaired: ${left.join(' ')}` : '';
  if (steps.length === 0) {
    return isStarted
      ? `sshd is set up well and does not run: ${service} is started.${rest}`
      : 'Nothing to do: nothing keeps people from logging in over SSH.';
  }
  const done = steps.map(({ step }) => step.description.replace(/^./, (one) => one.toLowerCase()));
  const opened = letIn.length > 0 ? ` It lets ${letIn.join(' and ')} in.` : '';
  return `Restore SSH: ${done.join('; ')}.${opened}${rest}`.slice(0, 2000);
}

const unchanged = { possible: true, how: 'Nothing is changed.' } as const;

function checkStep(): PlanStep {
  return {
    ...restoreStepTexts.check,
    changes: [{ type: 'command', argv: ['/usr/sbin/sshd', '-t'] }],
    declaredFolders: [],
    backup: null,
    verify: 'It exits with 0 and has no complaint.',
    undo: unchanged,
    interruptBoundSeconds: 60,
  };
}

function startStep({ service, socket }: SshRepairs): PlanStep {
  return {
    ...restoreStepTexts.start,
    changes: [
      { type: 'command', argv: ['systemctl', 'daemon-reload'] },
      ...(socket === null
        ? []
        : [{ type: 'command' as const, argv: ['systemctl', 'restart', socket] }]),
      { type: 'command', argv: ['systemctl', 'reload-or-restart', service!] },
    ],
    declaredFolders: [],
    backup: { what: 'whether it runs', bytes: 0, where: 'jobs/JOB/backups' },
    verify: 'systemctl exits with 0.',
    undo: {
      possible: true,
      how: 'It reads the old files again, or is stopped if it did not run; never while sshd finds fault with them.',
    },
    interruptBoundSeconds: 180,
  };
}

function verifyStep({ sockets }: SshRepairs): PlanStep {
  const ports = [...new Set(sockets.map(({ port }) => port))].join(', ');
  return {
    ...restoreStepTexts.verify,
    changes: [],
    declaredFolders: [],
    backup: null,
    verify: `sshd greets on one of its ports (${ports}), on the server itself.`,
    undo: unchanged,
    interruptBoundSeconds: 60,
  };
}
