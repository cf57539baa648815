import { isIPv4 } from 'node:net';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { LiveCommand } from '../guarded/guarded-repair.ts';
import { isInNetwork } from './ip-address.ts';
import type { NetworkFacts } from './network-repair.ts';

interface Link {
  ifname: string;
  link_type: string;
  flags: string[];
  addr_info: { local: string; prefixlen: number; scope: string }[];
}

interface Route {
  dst: string;
  gateway?: string;
  dev: string;
  protocol?: string;
  metric?: number;
  prefsrc?: string;
  flags?: string[];
}

/** What has to change in the network that holds now, and what a plan of that rests on. */
export interface LiveNetwork {
  commands: LiveCommand[];
  findings: string[];
  seen: JsonValue;
}

/**
 * What makes the address and the gateway of the order hold, with ip(8). Nothing else goes: what holds besides may be
 * what the engineer is connected by.
 */
export async function liveNetwork(
  context: ActionContext,
  { interface: named, address, gateway }: NetworkFacts,
): Promise<LiveNetwork> {
  const live: LiveNetwork = { commands: [], findings: [], seen: null };
  if (address === undefined && gateway === undefined) return live;
  const links = await read<Link>(context, ['address']);
  const link = linkOf(links, named);
  if (typeof link === 'string') return { ...live, findings: [link] };
  const { ifname } = link;
  if (!link.flags.includes('UP')) {
    const set = ['ip', 'link', 'set', 'dev', ifname];
    live.commands.push({ make: [...set, 'up'], takeBack: [...set, 'down'] });
  }
  const own = link.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  if (address !== undefined && !own.includes(address)) {
    const words = [address, 'dev', ifname];
    live.commands.push({
      make: ['ip', 'address', 'add', ...words],
      takeBack: ['ip', 'address', 'delete', ...words],
    });
    own.push(address);
  }
  live.seen = { ifname, own };
  if (gateway === undefined) return live;
  if (!own.some((one) => isNear(gateway, one))) {
    live.findings.push(
      `The gateway ${gateway} is in no network of ${ifname}: say the address, too.`,
    );
    return live;
  }
  const version = isIPv4(gateway) ? '-4' : '-6';
  const ways = (await read<Route>(context, [version, 'route'])).filter(
    ({ dst }) => dst === 'default',
  );
  live.seen = { ifname, own, ways } as unknown as JsonValue;
  // The kernel takes the one without a metric, or with the smallest.
  const [first] = ways.toSorted((a, b) => (a.metric ?? 0) - (b.metric ?? 0));
  if (first?.gateway === gateway && first.dev === ifname) return live;
  const route = ['ip', version, 'route'];
  const way = ['default', 'via', gateway, 'dev', ifname];
  const replaced = ways.find(({ metric }) => (metric ?? 0) === 0);
  live.commands.push({
    make: [...route, 'replace', ...way],
    takeBack:
      replaced === undefined
        ? [...route, 'delete', ...way]
        : [...route, 'replace', ...wordsOf(replaced)],
  });
  return live;
}

/** The interface that is meant, or why that cannot be told. */
function linkOf(links: readonly Link[], named: string | undefined): Link | string {
  const names = links.filter(({ link_type: type }) => type === 'ether').map(({ ifname }) => ifname);
  const name = named ?? (names.length === 1 ? names[0] : undefined);
  const link = links.find(({ ifname }) => ifname === name);
  if (link !== undefined) return link;
  return name === undefined
    ? `What holds now is left as it is: say which interface is meant with interface=… (${names.join(', ') || 'there is none'}).`
    : `What holds now is left as it is: there is no interface ${name} (${names.join(', ') || 'there is none'}).`;
}

function isNear(gateway: string, address: string): boolean {
  const [own = '', length] = address.split('/');
  return isInNetwork(gateway, { address: own, prefix: Number(length) });
}

/** A route in the words of ip-route(8). */
function wordsOf({ dst, gateway, dev, protocol, prefsrc, flags }: Route): string[] {
  return [
    dst,
    ...(gateway === undefined ? [] : ['via', gateway]),
    ...['dev', dev],
    ...(protocol === undefined ? [] : ['proto', protocol]),
    ...(prefsrc === undefined ? [] : ['src', prefsrc]),
    ...(flags?.includes('onlink') === true ? ['onlink'] : []),
  ];
}

async function read<T>(context: ActionContext, words: readonly string[]): Promise<T[]> {
  const argv = ['ip', '-json', ...words];
  const done = await context.run(argv, { output: 'capture' });
  if (done.exitStatus !== 0 || done.truncated) {
    throw new ActionError('network_unreadable', `${argv.join(' ')}: ${done.err.trim()}`);
  }
  return JSON.parse(done.out.trim() === '' ? '[]' : done.out) as T[];
}
