import type { TargetFiles } from '../../target/target-files.ts';
import { isEnabled } from '../diagnostics/ssh/ssh-socket.ts';
import type { Change } from '../files/change-steps.ts';
import { interfaceNames, interfacesFiles } from './ifupdown.ts';
import { lineOf, valuesOf } from './ini-text.ts';
import {
  filesIn,
  isManagedByNetworkManager,
  managerUnits,
  NETPLAN,
  NETWORKD_FOLDER,
  OWN,
  PROFILES,
} from './managers.ts';
import { parseNetplan } from './netplan-syntax.ts';
import {
  nothingToRepair,
  readText,
  type NetworkFault,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';

const SETTINGS = '/etc/NetworkManager/NetworkManager.conf';
const SETTINGS_FOLDER = '/etc/NetworkManager/conf.d';

/** An interface that a service is told to set up by its name. */
interface Claim {
  unit: string;
  name: string;
  file: string;
  line: number | null;
}

/**
 * Interfaces that two services set up at every boot, each against the other. Which of them is meant only the order
 * can say; the other is masked where every interface that it is told to set up is the named one's too.
 */
export async function twoManagersRepairs({ files, facts }: NetworkLook): Promise<NetworkRepairs> {
  const claims = await claimsOf(files);
  const shared = new Map<string, Claim[]>();
  for (const { name } of claims.filter((claim) => claim.name !== ANY)) {
    const its = claims.filter((claim) => claim.name === name);
    if (new Set(its.map(({ unit }) => unit)).size > 1) shared.set(name, its);
  }
  if (shared.size === 0) return nothingToRepair;
  const owner = facts.manager === undefined ? null : managerUnits[facts.manager];
  const changes: Change[] = [];
  const faults: NetworkFault[] = [];
  for (const [name, its] of shared) {
    const units = [...new Set(its.map(({ unit }) => unit))];
    const [first, second] = [its[0]!, its.find(({ unit }) => unit !== its[0]!.unit)!];
    const isNamed = owner !== null && units.includes(owner);
    const others = isNamed ? units.filter((unit) => unit !== owner) : [];
    const kept: string[] = [];
    for (const unit of others) {
      const masks = hasMore(claims, unit, owner!) ? [] : await masksOf(files, unit);
      if (masks.length === 0) kept.push(unit);
      changes.push(...masks);
    }
    const both = `${units.join(' and ')} both set ${name} up at boot`;
    const why = !isNamed
      ? `${both} (${first.file}, ${second.file}): say with manager=… whose it is`
      : kept.length > 0
        ? `${kept.join(' and ')} sets up more than ${owner} does, or has a unit of its own in /etc, and is not switched off: take ${name} out of its configuration by hand`
        : `${both}, and the order says that it is ${owner}'s`;
    const { file, line } = second;
    faults.push({ rule: 'net.two_managers', severity: 'warning', file, line, text: name, why });
  }
  const once = changes.filter(
    ({ path }, at) => changes.findIndex((one) => one.path === path) === at,
  );
  return { faults, changes: once };
}

/** Whether a service sets up interfaces that another does not. */
function hasMore(claims: readonly Claim[], unit: string, owner: string): boolean {
  const of = (whose: string) =>
    claims.filter((claim) => claim.unit === whose).map(({ name }) => name);
  return of(unit).some((name) => name === ANY || !of(owner).includes(name));
}

/** Stands for interfaces that a file fits by a pattern or an address of hardware. */
const ANY = '*';

async function claimsOf(files: TargetFiles): Promise<Claim[]> {
  const ifupdown = await interfacesFiles(files);
  const claims: Claim[] = ifupdown.flatMap(({ path, text }) =>
    interfaceNames([text]).map((name) => ({
      ...{ unit: managerUnits.ifupdown, name, file: path },
      line: lineWith(text, name),
    })),
  );
  for (const file of await filesIn(files, NETPLAN, /\.ya?ml$/)) {
    const text = (await readText(files, file)) ?? '';
    const unit =
      managerUnits[isManagedByNetworkManager(text) ? 'NetworkManager' : 'systemd-networkd'];
    for (const { path, index } of parseNetplan(text).lines) {
      // Bridges, bonds and VLANs, too: each kind is a list of interfaces.
      if (path.length !== 3 || path[0] !== 'network') continue;
      const name = /^[\w.-]+$/.test(path[2]!) ? path[2]! : ANY;
      claims.push({ unit, name, file, line: index + 1 });
    }
  }
  for (const file of await filesIn(files, NETWORKD_FOLDER, /\.network$/)) {
    const text = (await readText(files, file)) ?? '';
    if (valuesOf(text, 'Link', 'Unmanaged').some((value) => /^(?:yes|true|on|1)$/i.test(value)))
      continue;
    const names = valuesOf(text, 'Match', 'Name').flatMap((value) => value.split(/\s+/));
    const line = lineOf(text, 'Match', 'Name');
    for (const name of names.length === 0 ? [ANY] : names) {
      const own = /^[\w.-]+$/.test(name) ? name : ANY;
      claims.push({ unit: managerUnits['systemd-networkd'], name: own, file, line });
    }
  }
  for (const file of await filesIn(files, NETWORKD_FOLDER, /\.netdev$/)) {
    const text = (await readText(files, file)) ?? '';
    const line = lineOf(text, 'NetDev', 'Name');
    for (const name of valuesOf(text, 'NetDev', 'Name')) {
      claims.push({ unit: managerUnits['systemd-networkd'], name, file, line });
    }
  }
  const left = await leftByNetworkManager(files, claims);
  for (const file of await filesIn(files, PROFILES, /\.nmconnection$/)) {
    const text = (await readText(files, file)) ?? '';
    if (valuesOf(text, 'connection', 'autoconnect')[0] === 'false') continue;
    const name = valuesOf(text, 'connection', 'interface-name')[0] ?? ANY;
    const line = lineOf(text, 'connection', 'interface-name');
    if (!left(name)) claims.push({ unit: managerUnits.NetworkManager, name, file, line });
  }
  const on = new Map<string, boolean>();
  for (const { unit } of claims) on.set(unit, on.get(unit) ?? (await isOn(files, unit)));
  return claims.filter(({ unit }) => on.get(unit) === true);
}

/**
 * Which interfaces NetworkManager leaves to others: those of ifupdown where its plugin is loaded, as Debian builds
 * it in, and those that its settings name (NetworkManager.conf(5)).
 */
async function leftByNetworkManager(
  files: TargetFiles,
  claims: readonly Claim[],
): Promise<(name: string) => boolean> {
  const texts = [(await readText(files, SETTINGS)) ?? ''];
  for (const path of await filesIn(files, SETTINGS_FOLDER, /\.conf$/)) {
    texts.push((await readText(files, path)) ?? '');
  }
  const last = (section: string, key: string) =>
    texts.flatMap((text) => valuesOf(text, section, key)).at(-1) ?? null;
  const hasPlugin =
    last('main', 'plugins')
      ?.split(/[,;\s]+/)
      .includes('ifupdown') ?? true;
  const isManaged = last('ifupdown', 'managed')?.toLowerCase() === 'true';
  const unmanaged = last('keyfile', 'unmanaged-devices') ?? '';
  const ifupdown = claims.filter(({ unit }) => unit === managerUnits.ifupdown);
  return (name) =>
    (hasPlugin && !isManaged && ifupdown.some((claim) => claim.name === name)) ||
    unmanaged.split(/[,;]/).some((one) => [`interface-name:${name}`, '*'].includes(one.trim()));
}

async function isOn(files: TargetFiles, unit: string): Promise<boolean> {
  const isMasked = (await files.readLink(`${OWN}/${unit}`)) === '/dev/null';
  return !isMasked && (await isEnabled(files, unit));
}

/** Nothing where a file of the administrator's is in the place of the mask. */
async function masksOf(files: TargetFiles, unit: string): Promise<Change[]> {
  // By its socket the kernel's news of an interface would start it all the same.
  const units =
    unit === managerUnits['systemd-networkd'] ? ['systemd-networkd.socket', unit] : [unit];
  const paths = units.map((one) => `${OWN}/${one}`);
  for (const path of paths) {
    if ((await files.lstat(path)) !== null) return [];
  }
  return paths.map((path) => ({ kind: 'link', path, target: '/dev/null' }));
}

/** From 1. */
function lineWith(text: string, name: string): number | null {
  const at = text.split('\n').findIndex((line) => line.split(/[\s:"']+/).includes(name));
  return at < 0 ? null : at + 1;
}
