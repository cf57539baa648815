import { cloudInitRepairs } from './cloud-init.ts';
import { ifupdownRepairs } from './ifupdown.ts';
import { managerRepairs } from './managers.ts';
import { nameServerRepairs } from './name-servers.ts';
import { netplanRepairs } from './netplan.ts';
import { networkManagerRepairs } from './network-manager.ts';
import { networkdRepairs } from './networkd.ts';
import { twoManagersRepairs } from './two-managers.ts';
import { withoutSecrets } from './without-secrets.ts';
import { together, type NetworkLook, type NetworkRepairs } from './network-repair.ts';

/** Each looks at one kind of configuration, and at nothing of the others. */
const KINDS: readonly ((look: NetworkLook) => Promise<NetworkRepairs>)[] = [
  ifupdownRepairs,
  netplanRepairs,
  networkdRepairs,
  networkManagerRepairs,
  managerRepairs,
  twoManagersRepairs,
  cloudInitRepairs,
  nameServerRepairs,
];

/**
 * Everything that is wrong with how the network is set up, and what mends it. Looks only. Pass phrases of wireless
 * networks and keys of tunnels stand in the files, and in nothing that is shown.
 */
export async function findNetworkRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const all: NetworkRepairs[] = [];
  for (const find of KINDS) all.push(await find(look));
  const { faults, changes } = together(all);
  return {
    faults: faults.map((fault) => ({ ...fault, text: withoutSecrets(fault.text) })),
    changes: changes.map((change) =>
      change.kind === 'file' ? { ...change, shown: withoutSecrets } : change,
    ),
  };
}
