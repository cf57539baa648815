import {
  networkRecoverParameters,
  type NetworkRecoverResult,
} from '../../../proto/actions/network.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { FoundRepair, GuardedRepair } from '../guarded/guarded-repair.ts';
import { guardedRepair } from '../guarded/run-guarded-repair.ts';
import { findNetworkRepairs } from './find-repairs.ts';
import { liveNetwork, type LiveNetwork } from './live-network.ts';
import type { NetworkFault, NetworkRepairs } from './network-repair.ts';

/** What the order has to say before the rest can be repaired. */
const NEEDED: Partial<Record<NetworkFault['rule'], string>> = {
  'net.dns': 'Say which servers with nameservers=["…"].',
  'net.gateway': 'Say the right one with gateway=…, or the address with address=….',
  'net.if_mismatch': 'Say the name with interface=….',
};
const DONE = 'The network is set up as it has to be.';

const repair: GuardedRepair = {
  live: {
    id: 'connect',
    description: 'Make the address and the gateway of the order hold now; nothing else goes',
    backup: 'how each is taken away again, and the route that was there',
    verify: 'Every command exits with 0; addresses and routes are read again.',
    undo: { possible: true, how: 'They are taken away again, and the old route is put back.' },
  },
  verify: {
    id: 'verify',
    description: 'Look whether the network is set up as it has to be; if not, take everything back',
    verify: 'Every file is judged again, and addresses are held against their networks.',
  },
  undo: {
    id: 'undo-recover',
    description: 'Take away what the job made hold, and put the files back',
    done: 'Addresses, routes and files are as before the job.',
  },
  async find(context, target) {
    return foundIn(context, await lookAt(context, target));
  },
  async findFault(context, target) {
    const { changes, faults, live } = await lookAt(context, target);
    if (live.commands.length > 0) return `It does not hold: ${live.commands[0]!.make.join(' ')}.`;
    if (changes.length === 0) return null;
    return `Not enough: ${faults[0]?.why ?? 'the files do not say yet what the order says'}.`;
  },
  doneText: () => Promise.resolve(DONE),
  resultOf(_context, _target, { outcome, commands, files, detail }) {
    const result: NetworkRecoverResult = {
      outcome: outcome === 'done' ? 'repaired' : outcome,
      commands,
      files,
      detail,
    };
    return Promise.resolve(result);
  },
  /** In the words of the kernel, as ip(8) gives them. */
  isGone: (said) =>
    /Cannot assign requested address|No such process|Cannot find device|Address not found/.test(
      said,
    ),
};

/** Corrects how the network is set up, as far as files and the order's own words make it certain. */
export const networkRecover = guardedRepair(repair);

interface Looked extends NetworkRepairs {
  live: LiveNetwork;
}

async function lookAt(context: ActionContext, { files, kind }: Target): Promise<Looked> {
  const facts = networkRecoverParameters.parse(context.spec.parameters);
  const repairs = await findNetworkRepairs({ files, kind, facts });
  const nothing = { commands: [], findings: [], seen: null };
  return { ...repairs, live: kind === 'live' ? await liveNetwork(context, facts) : nothing };
}

function foundIn(context: ActionContext, { faults, changes, live }: Looked): FoundRepair {
  const { confirmWithinSeconds } = networkRecoverParameters.parse(context.spec.parameters);
  return {
    summary: summaryOf(faults.length, changes.length + live.commands.length),
    findings: [...faults.map((fault) => textOf(fault, changes)), ...live.findings],
    steps: [
      {
        id: 'network-files',
        description: 'Correct the configuration of the network',
        changes,
        verify: 'The configuration is read again, and nothing of it is left to correct.',
      },
    ],
    commands: live.commands,
    removals: [],
    target: {},
    precondition: { what: 'addresses and routes that hold now', value: live.seen },
    confirmWithinSeconds,
  };
}

function summaryOf(faults: number, changes: number): string {
  if (changes > 0) {
    return 'Correct how the network is set up; what is not wrong stays as it is.';
  }
  return faults > 0
    ? 'Nothing is changed: what is wrong cannot be corrected without knowing more.'
    : 'Nothing to do: the network is set up as it has to be.';
}

function textOf(
  { file, line, why, rule }: NetworkFault,
  changes: NetworkRepairs['changes'],
): string {
  const place = line === null ? file : `${file}:${line}`;
  const isRepaired = changes.some(({ path }) => path === file);
  const needed = isRepaired ? undefined : NEEDED[rule];
  return `${place}: ${why}.${needed === undefined ? '' : ` ${needed}`}`.slice(0, 500);
}
