import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemRebootParameters } from '../../../proto/actions/system.ts';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { bootId, noteGoingDown } from '../../jobs/going-down.ts';
import { ActionError, type ActionContext, type ActionImplementation } from '../../runner/action.ts';
import { isSystemdRunning } from '../guarded/guard-unit.ts';
import type { PlanBody } from '../same-plan.ts';

/** A shutdown waits for services, each of them a minute and a half unless it says more (systemd-system.conf(5)). */
const DOWN_WITHIN_MS = 15 * 60_000;
const RUN_WITHIN_MS = 60_000;
const REBOOT = ['systemctl', 'reboot', '--no-block'];

const texts = {
  wait: {
    id: 'wait',
    description: 'Wait, so that this can still be cancelled and everybody can read it',
    interrupt: 'now',
  },
  reboot: {
    id: 'reboot',
    description: 'Shut the server down in good order and boot it again',
    interrupt: 'finish',
  },
} as const;

/** Shuts the running system down and boots it again; `agent/jobs/sequel.ts` tells how that ended. */
export const systemReboot: ActionImplementation = {
  async plan(context) {
    await requireBootable(context);
    return planOf(context);
  },
  async apply(context, plan) {
    await requireBootable(context);
    requireThisBoot(plan);
    const { delaySeconds } = systemRebootParameters.parse(context.spec.parameters);
    await context.step(texts.wait, async (confirm) => {
      await confirm([]);
      context.note(`The server goes down in ${delaySeconds} s. Cancelling the job keeps it up.`);
      await sleep(delaySeconds * 1000, undefined, { signal: context.signal });
    });
    await context.step(texts.reboot, async (confirm) => {
      await confirm([]);
      context.note('The server goes down now. What follows was written after it had booted.');
      await noteGoingDown(context.directory);
      const done = await context.run(REBOOT, { output: 'capture', timeoutMs: RUN_WITHIN_MS });
      if (done.exitStatus !== 0) {
        throw new ActionError('reboot_refused', `systemctl reboot: ${done.err.trim()}`);
      }
      await sleep(DOWN_WITHIN_MS);
      throw new ActionError('still_up', 'the server was told to boot again and is still up');
    });
    throw new TypeError('the step above does not return');
  },
};

async function requireBootable({ spec }: ActionContext): Promise<void> {
  if (spec.agentMode === 'rescue') {
    throw new ActionError(
      'rescue_system',
      'a rescue system that goes down forgets its jobs: take the server out of rescue where it was put into it',
    );
  }
  if (await isSystemdRunning()) return;
  throw new ActionError('no_systemd', 'no systemd runs here that could shut the server down');
}

/** A plan is good for one boot: ordered twice, it would take the server down twice. */
function requireThisBoot(plan: Plan | null): void {
  const [boot] = plan?.preconditions ?? [];
  if (boot?.digest === digestOfBoot()) return;
  throw new ActionError(
    'changed_since_plan',
    'the server has booted since this was planned; plan again where it is still wanted',
  );
}

function digestOfBoot(): string {
  return `sha256:${createHash('sha256').update(bootId()).digest('hex')}`;
}

async function planOf(context: ActionContext): Promise<PlanBody> {
  const { delaySeconds } = systemRebootParameters.parse(context.spec.parameters);
  return {
    target: {},
    summary: `Boot the server again, ${delaySeconds} s after the job has begun. The job ends when the agent is back.`,
    findings: await whatIsCut(context),
    preconditions: [{ what: 'that the server has not booted since', digest: digestOfBoot() }],
    steps: [
      step(texts.wait, {
        changes: [],
        verify: 'Nobody has cancelled it.',
        undo: { possible: true, how: 'Nothing is changed.' },
        interruptBoundSeconds: 5,
      }),
      step(texts.reboot, {
        changes: [{ type: 'command', argv: REBOOT }],
        verify: 'The agent comes back with another boot.',
        undo: { possible: false, why: 'what ran before and was not saved does not come back' },
        interruptBoundSeconds: DOWN_WITHIN_MS / 1000,
      }),
    ],
  };
}

function step(
  { id, description, interrupt }: (typeof texts)[keyof typeof texts],
  rest: Pick<PlanStep, 'changes' | 'verify' | 'undo' | 'interruptBoundSeconds'>,
): PlanStep {
  return { id, description, interrupt, declaredFolders: [], backup: null, ...rest };
}

/** People who are logged in, what programs ask not to be cut short, and what is on its way already. */
async function whatIsCut(context: ActionContext): Promise<string[]> {
  const found: string[] = [
    'every service and every connection of the server is cut until it is up',
  ];
  const ask = async (title: string, argv: readonly string[]) => {
    const done = await context.run(argv, { output: 'capture', timeoutMs: RUN_WITHIN_MS });
    if (done.exitStatus !== 0) return;
    for (const line of done.out.split('\n').filter((text) => text.trim() !== '')) {
      found.push(`${title}: ${line.trim().replaceAll(/\s+/g, ' ')}`.slice(0, 500));
    }
  };
  const list = ['--no-legend', '--no-pager'];
  await ask('logged in', ['loginctl', 'list-sessions', ...list]);
  await ask('asks for delay', ['systemd-inhibit', '--list', ...list]);
  await ask('under way', ['systemctl', 'list-jobs', ...list]);
  return found.slice(0, 100);
}
