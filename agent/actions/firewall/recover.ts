import {
  firewallRecoverParameters,
  type FirewallRecoverResult,
} from '../../../proto/actions/firewall.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { FoundRepair, GuardedRepair } from '../guarded/guarded-repair.ts';
import { guardedRepair } from '../guarded/run-guarded-repair.ts';
import { managementPorts } from './management-ports.ts';
import { findRecovery, type Recovery } from './recovery.ts';

const repair: GuardedRepair = {
  live: {
    id: 'open',
    description: 'Let SSH in, in the rules that hold now; nothing else, and no rule goes',
    backup: 'how each is taken away again',
    verify: 'Every command exits with 0; the rules are read again.',
    undo: { possible: true, how: 'The same rules are deleted, and no other.' },
  },
  verify: {
    id: 'verify',
    description: 'Look whether SSH gets in; if not, take everything back',
    verify: 'A new connection to the ports of SSH is followed through the rules.',
  },
  undo: {
    id: 'undo-recover',
    description: 'Take away the rules that the job made, and put the files back',
    done: 'The rules that the job made are gone, and the files are as before it.',
  },
  async find(context, target) {
    return foundIn(await findRecovery(context, target));
  },
  async findFault(context, target) {
    const { barriers, steps } = await findRecovery(context, target);
    if (barriers.length > 0) return `SSH is still kept out, by: ${barriers[0]}.`;
    return steps.length > 0 ? `Not enough: ${steps[0]!.description}.` : null;
  },
  async doneText(context, target) {
    const ports = await managementPorts(context, target);
    return `SSH gets in (port ${ports.join(', ')}) from ${sourceOf(context) ?? 'everybody'}.`;
  },
  async resultOf(context, target, { outcome, commands, files, detail }) {
    return {
      outcome: outcome === 'done' ? 'opened' : outcome,
      ports: await managementPorts(context, target),
      source: sourceOf(context),
      rules: commands,
      files,
      detail,
    } satisfies FirewallRecoverResult;
  },
  /** In the words of iptables of either kind. */
  isGone: (said) => /does a matching rule exist|Bad rule|No chain\/target\/match/.test(said),
};

/** Lets SSH in where the firewall keeps it out, now and after a boot. */
export const firewallRecover = guardedRepair(repair);

function sourceOf({ spec }: ActionContext): string | null {
  return firewallRecoverParameters.parse(spec.parameters).source ?? null;
}

function foundIn(recovery: Recovery): FoundRepair {
  const { parameters, ports, openings, barriers, steps, findings, removals } = recovery;
  const source = parameters.source ?? 'everybody';
  const what = `SSH (port ${ports.join(', ')})`;
  const isNeeded = openings.length > 0 || steps.length > 0;
  return {
    summary: isNeeded
      ? `Let ${what} in from ${source}. The firewall stays on, and no rule is removed.`
      : `Nothing to do: the firewall lets ${what} in.`,
    findings,
    steps,
    commands: openings.map(({ insert, remove }) => ({ make: insert, takeBack: remove })),
    removals,
    target: { ports, source },
    precondition: {
      what: 'what keeps SSH out now',
      value: [ports, openings.map(({ insert }) => insert), barriers],
    },
    confirmWithinSeconds: parameters.confirmWithinSeconds,
  };
}
