import { cloudInitRepairs } from './cloud-init.ts';
import { ifupdownRepairs } from './ifupdown.ts';
import { managerRepairs } from './managers.ts';
import { nameServerRepairs } from './name-servers.ts';
import { netplanRepairs } from './netplan.ts';
import { networkManagerRepairs } from './network-manager.ts';
import { networkdRepairs } from './networkd.ts';
import { together, type NetworkLook, type NetworkRepairs } from './network-repair.ts';

/** Each looks at one kind of configuration, and at nothing of the others. */
const KINDS: readonly ((look: NetworkLook) => Promise<NetworkRepairs>)[] = [
  ifupdownRepairs,
  netplanRepairs,
  networkdRepairs,
  networkManagerRepairs,
  managerRepairs,
  cloudInitRepairs,
  nameServerRepairs,
];

/** Everything that is wrong with how the network is set up, and what mends it. Looks only. */
export async function findNetworkRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const all: NetworkRepairs[] = [];
  for (const find of KINDS) all.push(await find(look));
  return together(all);
}
