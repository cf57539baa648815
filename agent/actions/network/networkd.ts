import { isIPv4 } from 'node:net';
import { valuesOf, withValue } from './ini-text.ts';
import { judgeName } from './interface-names.ts';
import { isInNetwork, parseInterfaceAddress } from './ip-address.ts';
import { filesIn, NETWORKD_FOLDER } from './managers.ts';
import {
  nothingToRepair,
  readText,
  textChange,
  type NetworkFault,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';

/** What systemd.network(5) needs, where one file alone sets one interface up. */
export async function networkdRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const paths = await filesIn(look.files, NETWORKD_FOLDER, /\.network$/);
  const [path] = paths;
  if (path === undefined || paths.length > 1) return nothingToRepair;
  const text = (await readText(look.files, path)) ?? '';
  const name = valuesOf(text, 'Match', 'Name')[0] ?? '';
  if (!/^[\w-]+$/.test(name)) return nothingToRepair;
  const faults: NetworkFault[] = [];
  const fault = (
    rule: NetworkFault['rule'],
    severity: NetworkFault['severity'],
    shown: string,
    why: string,
  ) => faults.push({ rule, severity, file: path, line: null, text: shown, why });
  const { interface: meant, address, gateway } = look.facts;
  const misnamed = meant === undefined ? await judgeName(look, name) : null;
  if (misnamed !== null)
    fault(
      'net.if_mismatch',
      'warning',
      `Name=${name}`,
      `${misnamed}, and the configuration says ${name}`,
    );
  let after = text;
  if (meant !== undefined && name !== meant) after = withValue(after, 'Match', 'Name', meant);
  const own = parseInterfaceAddress(valuesOf(text, 'Network', 'Address')[0] ?? '');
  const way = valuesOf(text, 'Network', 'Gateway')[0];
  if (
    own !== null &&
    way !== undefined &&
    isIPv4(way) &&
    isIPv4(own.address) &&
    !isInNetwork(way, own)
  ) {
    fault(
      'net.gateway',
      'critical',
      `Gateway=${way}`,
      `the gateway ${way} lies outside of the network ${own.address}/${own.prefix}`,
    );
  }
  for (const [key, value] of [
    ['Address', address],
    ['Gateway', gateway],
  ] as const) {
    const now = valuesOf(after, 'Network', key);
    // Of several the order may mean any.
    if (value !== undefined && now.length < 2 && now[0] !== value)
      after = withValue(after, 'Network', key, value);
  }
  return { faults, changes: textChange(path, text, after) };
}
