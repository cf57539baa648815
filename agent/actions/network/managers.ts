import { posix } from 'node:path';
import type { NetworkManagerName } from '../../../proto/actions/network.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { isEnabled, shippedUnit } from '../diagnostics/ssh/ssh-socket.ts';
import type { Change } from '../files/change-steps.ts';
import { startLinks } from '../service/start-links.ts';
import { hardwareNames, interfacesFiles } from './ifupdown.ts';
import {
  nothingToRepair,
  readText,
  type NetworkFault,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';

/** Where the administrator's own units and masks lie. */
export const OWN = '/etc/systemd/system';

/** What sets a network up, by the names that an order has for them, and its unit. */
export const managerUnits = {
  ifupdown: 'networking.service',
  'systemd-networkd': 'systemd-networkd.service',
  NetworkManager: 'NetworkManager.service',
} as const satisfies Record<NetworkManagerName, string>;
const {
  ifupdown: IFUPDOWN,
  'systemd-networkd': NETWORKD,
  NetworkManager: NETWORK_MANAGER,
} = managerUnits;

export const PROFILES = '/etc/NetworkManager/system-connections';
export const NETPLAN = '/etc/netplan';
export const NETWORKD_FOLDER = '/etc/systemd/network';
export const IFCFG = '/etc/sysconfig/network-scripts';

/** A service that sets the network up, and whether the system has a configuration for it. */
interface Manager {
  unit: string;
  /** What it is told to do. */
  configuration: string;
}

/** What keeps the service from starting to which the configuration of the network belongs. */
export async function managerRepairs({ files, facts }: NetworkLook): Promise<NetworkRepairs> {
  const owners: (Manager & { file: string; masks: Change[]; isOn: boolean })[] = [];
  for (const manager of await managersOf(files)) {
    const file = await shippedUnit(files, [manager.unit]);
    if (file === null) continue;
    const masks = await masksOf(files, manager.unit);
    const isOn = masks.length === 0 && (await isEnabled(files, manager.unit));
    owners.push({ ...manager, file, masks, isOn });
  }
  // One that works is enough; which of several others was meant only the order can say.
  const named =
    facts.manager === undefined
      ? undefined
      : owners.find(({ unit }) => unit === managerUnits[facts.manager!]);
  const [owner] = named === undefined ? owners : [named];
  if (owner === undefined || owners.some(({ isOn }) => isOn)) return nothingToRepair;
  const isMasked = owner.masks.length > 0;
  const fault: NetworkFault = {
    rule: 'net.service_off',
    severity: 'critical',
    file: owner.configuration,
    line: null,
    text: `${owner.unit}: ${isMasked ? 'masked' : 'not enabled'}`,
    why: `${owner.unit}, which this configuration is for, ${isMasked ? 'is masked' : 'is not enabled'}: nothing sets the network up at boot`,
  };
  const isEnabledStill = await isEnabled(files, owner.unit);
  const changes = isEnabledStill ? owner.masks : await startLinks(files, owner.file, owner.masks);
  return { faults: [fault], changes: named !== undefined || owners.length === 1 ? changes : [] };
}

/** The services that the system has a configuration of hardware for. */
export async function managersOf(files: TargetFiles): Promise<Manager[]> {
  const found: Manager[] = [];
  const interfaces = await interfacesFiles(files);
  if (hardwareNames(interfaces.map(({ text }) => text)).length > 0) {
    found.push({ unit: IFUPDOWN, configuration: interfaces[0]!.path });
  }
  for (const path of await filesIn(files, NETPLAN, /\.ya?ml$/)) {
    const isManager = isManagedByNetworkManager((await readText(files, path)) ?? '');
    found.push({ unit: isManager ? NETWORK_MANAGER : NETWORKD, configuration: path });
  }
  for (const path of await filesIn(files, NETWORKD_FOLDER, /\.network$/)) {
    found.push({ unit: NETWORKD, configuration: path });
  }
  const profiles = [
    ...(await filesIn(files, PROFILES, /\.nmconnection$/)),
    ...(await filesIn(files, IFCFG, /^ifcfg-(?!lo$)/)),
  ];
  for (const path of profiles) found.push({ unit: NETWORK_MANAGER, configuration: path });
  return found.filter(({ unit }, at) => found.findIndex((one) => one.unit === unit) === at);
}

/** Whether a file of netplan hands its interfaces to NetworkManager. */
export function isManagedByNetworkManager(text: string): boolean {
  return /^[ \t]*renderer:[ \t]*NetworkManager[ \t]*$/m.test(text);
}

/** Plain files of a folder whose names fit, by path. */
export async function filesIn(
  files: TargetFiles,
  folder: string,
  names: RegExp,
): Promise<string[]> {
  const paths: string[] = [];
  for (const name of (await files.list(folder)).slice(0, 64)) {
    if (!names.test(name) || name.startsWith('.')) continue;
    const found = await files.lstat(posix.join(folder, name));
    if (found?.isFile() === true) paths.push(posix.join(folder, name));
  }
  return paths;
}

async function masksOf(files: TargetFiles, unit: string): Promise<Change[]> {
  const path = `${OWN}/${unit}`;
  const isMasked = (await files.readLink(path)) === '/dev/null';
  return isMasked ? [{ kind: 'link', path, target: null }] : [];
}
