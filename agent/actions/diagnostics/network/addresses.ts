import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import { ProbeFailure, type Probe, type ProbeContext } from '../probe.ts';
import { configuredInterfaces } from './configured-interfaces.ts';

const SUGGESTION = { action: 'network.recover', parameters: {} } as const;

interface Link {
  ifname: string;
  operstate?: string;
  addr_info?: { local: string; prefixlen: number; scope?: string; family?: string }[];
}
interface Route {
  dst: string;
  gateway?: string;
  dev?: string;
}

export const addresses: Probe = {
  id: 'network.addresses',
  area: 'network',
  limitMs: 4_200,
  async look(context) {
    const [links, routes] = await Promise.all([
      observed<Link>(context, 'addresses'),
      observed<Route>(context, 'routes'),
    ]);
    const routes6 = await observed<Route>(context, 'routes6');
    const outer = links.filter(({ ifname }) => ifname !== 'lo');
    const globals = outer.flatMap((link) =>
      (link.addr_info ?? []).filter(({ scope }) => scope === 'global'),
    );
    const isDefault = ({ dst }: Route) => dst === 'default';
    const gateways = [...routes, ...routes6].filter(isDefault);
    return {
      findings: [
        ...judgeGateway(globals.length, gateways),
        ...unreachableGateways(links, routes, routes.filter(isDefault)),
        ...(await missingInterfaces(context, links)),
      ],
      facts: {
        addresses: globals.map(({ local, prefixlen }) => `${local}/${prefixlen}`).slice(0, 64),
        gateways: gateways.flatMap(({ gateway, dev }) => gateway ?? dev ?? []).slice(0, 16),
      },
    };
  },
};

async function observed<T>(
  context: ProbeContext,
  name: 'addresses' | 'routes' | 'routes6',
): Promise<T[]> {
  const seen = await context.observe(name);
  // A kernel without IPv6 has no routes of it.
  if (seen.exitStatus !== 0 && name === 'routes6') return [];
  try {
    return JSON.parse(seen.out.trim() === '' ? '[]' : seen.out) as T[];
  } catch {
    throw new ProbeFailure(`${seen.command} gave no readable answer`);
  }
}

function judgeGateway(addressCount: number, gateways: readonly Route[]): NewFinding[] {
  if (addressCount > 0 && gateways.length > 0) return [];
  const isAddress = addressCount === 0;
  return [
    {
      rule: 'net.gateway',
      severity: 'critical',
      subject: isAddress ? 'address' : 'default route',
      title: isAddress
        ? 'The server has no address in any network'
        : 'The server has no default route: nobody outside its own network reaches it',
      evidence: [
        commandEvidence(
          isAddress ? 'ip address' : 'ip route',
          isAddress ? 'no address of scope global' : 'no default',
        ),
      ],
      suggestion: SUGGESTION,
      byHand: 'Set address, mask and gateway as the provider gave them.',
    },
  ];
}

/** A gateway that no address of its interface shares a network with. */
function unreachableGateways(
  links: readonly Link[],
  routes: readonly Route[],
  defaults: readonly Route[],
): NewFinding[] {
  return defaults.flatMap(({ gateway, dev }): NewFinding[] => {
    if (gateway === undefined || !gateway.includes('.')) return [];
    const own = links.filter(({ ifname }) => dev === undefined || ifname === dev);
    const isNear = own
      .flatMap((link) => link.addr_info ?? [])
      .some(({ local, prefixlen }) => isInNetwork(gateway, local, prefixlen));
    const hasRoute = routes.some(({ dst }) => {
      const [network = '', length = '32'] = dst.split('/');
      return dst !== 'default' && isInNetwork(gateway, network, Number(length));
    });
    if (isNear || hasRoute) return [];
    return [
      {
        rule: 'net.gateway',
        severity: 'critical',
        subject: gateway,
        title: `The gateway ${gateway} is in no network of the server`,
        evidence: [commandEvidence('ip route', `default via ${gateway} dev ${dev ?? '?'}`)],
        suggestion: SUGGESTION,
        byHand: 'Compare address, mask and gateway with what the provider gave.',
      },
    ];
  });
}

async function missingInterfaces(
  { files }: ProbeContext,
  links: readonly Link[],
): Promise<NewFinding[]> {
  const there = new Set(links.map(({ ifname }) => ifname).filter((name) => name !== 'lo'));
  const configured = await configuredInterfaces(files);
  const missing = configured.filter(({ name }) => !there.has(name));
  const isNoneThere = missing.length === configured.length;
  const left = [...there].filter((name) => !configured.some((one) => one.name === name));
  // With one of each it is certain which is meant.
  const [meant] = missing.length === 1 && left.length === 1 ? left : [];
  return missing.map(({ name, file, line, text }) => ({
    rule: 'net.if_mismatch',
    severity: isNoneThere ? 'critical' : 'warning',
    subject: name,
    title: `The network configuration is for ${name}, which this server does not have`,
    evidence: [fileEvidence(file, line, text)],
    suggestion: { ...SUGGESTION, parameters: meant === undefined ? {} : { interface: meant } },
    byHand: `Write the name that ip link shows (${[...there].join(', ') || 'none'}) instead of ${name}.`,
  }));
}

/** IPv4 only. */
export function isInNetwork(address: string, network: string, prefixLength: number): boolean {
  const [one, other] = [toNumber(address), toNumber(network)];
  if (one === null || other === null) return false;
  const size = 2 ** (32 - prefixLength);
  return Math.floor(one / size) === Math.floor(other / size);
}

function toNumber(address: string): number | null {
  const parts = address.split('.').map(Number);
  if (parts.length !== 4 || parts.some((part) => !(part >= 0 && part <= 255))) return null;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}
