import { ProbeFailure } from '../probe.ts';
import {
  sourceFit,
  type FilterChain,
  type FilterRule,
  type Fit,
  type Packet,
  type Verdict,
} from './packet-path.ts';

type Statement = Record<string, unknown>;

interface NftObjects {
  chains: {
    family: string;
    table: string;
    name: string;
    hook?: string;
    type?: string;
    policy?: string;
  }[];
  rules: { family: string; table: string; chain: string; handle: number; expr: Statement[] }[];
  sets: Map<string, unknown[]>;
  /** Tables that nobody but the program that made them may change (nft(8), flag `owner`). */
  owned: Set<string>;
}

export interface NftBase {
  family: string;
  table: string;
  /** Name in `chains`. */
  name: string;
  chains: ReadonlyMap<string, FilterChain>;
  /** Nobody but the program that made the table may change it. */
  isOwned: boolean;
}

/** Families that a packet to this server passes, and hooks in which it can be dropped. */
const FAMILIES = { 4: ['inet', 'ip'], 6: ['inet', 'ip6'] } as const;
const HOOKS = ['prerouting', 'input'];

/**
 * The base chains that a packet goes through, from the JSON of `nft --json list ruleset` (libnftables-json(5)).
 * Throws ProbeFailure when it is none.
 */
export function nftBases(json: string, packet: Packet): NftBase[] {
  const { chains, rules, sets, owned } = read(json);
  return FAMILIES[packet.version].flatMap((family) =>
    chains
      .filter((chain) => chain.family === family && chain.type === 'filter')
      .filter((chain) => HOOKS.includes(chain.hook ?? ''))
      .map(({ table, name }) => {
        const own = chains.filter((chain) => chain.family === family && chain.table === table);
        const entries = own.map((chain): [string, FilterChain] => [
          chain.name,
          {
            policy: chain.policy === 'drop' ? 'drop' : 'accept',
            rules: rules
              .filter((rule) => rule.family === family && rule.table === table)
              .filter((rule) => rule.chain === chain.name)
              .map((rule) => toRule(rule, packet, (set) => sets.get(`${family} ${table} ${set}`))),
          },
        ]);
        const isOwned = owned.has(`${family} ${table}`);
        return { family, table, name, chains: new Map(entries), isOwned };
      }),
  );
}

function read(json: string): NftObjects {
  let list: Record<string, Record<string, unknown>>[];
  try {
    list = (JSON.parse(json) as { nftables: Record<string, Record<string, unknown>>[] }).nftables;
  } catch {
    throw new ProbeFailure('nft gave no readable answer');
  }
  const objects: NftObjects = { chains: [], rules: [], sets: new Map(), owned: new Set() };
  for (const { table, chain, rule, set } of list) {
    if (JSON.stringify(table?.['flags'] ?? null).includes('"owner"')) {
      objects.owned.add(`${String(table!['family'])} ${String(table!['name'])}`);
    }
    if (chain !== undefined) objects.chains.push(chain as NftObjects['chains'][number]);
    if (rule !== undefined) objects.rules.push(rule as NftObjects['rules'][number]);
    if (set !== undefined) {
      const name = `${String(set['family'])} ${String(set['table'])} ${String(set['name'])}`;
      objects.sets.set(name, Array.isArray(set['elem']) ? set['elem'] : []);
    }
  }
  return objects;
}

type FindSet = (name: string) => unknown[] | undefined;

function toRule(
  { expr, handle }: NftObjects['rules'][number],
  packet: Packet,
  findSet: FindSet,
): FilterRule {
  let fit: Fit = 'yes';
  let verdict: Verdict = { kind: 'none' };
  for (const statement of expr) {
    const [kind = '', content] = Object.entries(statement)[0] ?? [];
    switch (kind) {
      case 'match':
        fit = and(fit, matchFit(content as Match, packet, findSet));
        break;
      case 'accept':
      case 'return':
        verdict = { kind };
        break;
      case 'drop':
      case 'reject':
        verdict = { kind: 'drop' };
        break;
      case 'jump':
      case 'goto':
        verdict = { kind, chain: String((content as { target?: unknown }).target) };
        break;
      case 'counter':
      case 'log':
      case 'comment':
      case 'mangle':
      case 'notrack':
        break;
      case 'vmap': {
        const given = vmapVerdict(content as Vmap, packet);
        verdict = given ?? { kind: 'accept' };
        if (given === null) fit = and(fit, 'maybe');
        break;
      }
      default:
        // limit, xt, quota, …: they fit some packets.
        fit = and(fit, 'maybe');
    }
  }
  return { fit, verdict, text: JSON.stringify(expr), handle };
}

interface Match {
  op: string;
  left: Record<string, Record<string, unknown>>;
  right: unknown;
}

interface Vmap {
  key: Record<string, Record<string, unknown>>;
  data: { set?: [unknown, Statement][] };
}

/** The verdict that a map gives this packet; null when that depends on what is not known here. */
function vmapVerdict({ key, data }: Vmap, packet: Packet): Verdict | null {
  if (!Array.isArray(data?.set)) return null;
  for (const [value, statement] of data.set) {
    const fit = leftFit(key, value, packet, () => undefined);
    if (fit === 'maybe') return null;
    if (fit === 'no') continue;
    const [kind = ''] = Object.keys(statement);
    if (kind === 'accept' || kind === 'drop') return { kind };
    if (kind === 'jump' || kind === 'goto') {
      return { kind, chain: String((statement[kind] as { target?: unknown })?.target) };
    }
  }
  return { kind: 'none' };
}

function matchFit({ op, left, right }: Match, packet: Packet, findSet: FindSet): Fit {
  const fit = leftFit(left, right, packet, findSet);
  if (op !== '!=') return op === '==' || op === 'in' ? fit : 'maybe';
  return fit === 'maybe' ? fit : fit === 'yes' ? 'no' : 'yes';
}

function leftFit(
  left: Record<string, Record<string, unknown>>,
  right: unknown,
  packet: Packet,
  findSet: FindSet,
): Fit {
  const own = packet.version === 4 ? 'ip' : 'ip6';
  const { payload, meta, ct } = left ?? {};
  if (payload !== undefined) {
    const { protocol, field } = payload;
    if (protocol === 'tcp' || protocol === 'th') {
      return field === 'dport' ? includes(right, packet.port, findSet) : 'maybe';
    }
    if (['udp', 'icmp', 'icmpv6', 'sctp', 'dccp'].includes(String(protocol))) return 'no';
    if (protocol === 'ip' || protocol === 'ip6') {
      if (protocol !== own) return 'no';
      if (field === 'saddr') return sourceIn(right, packet, findSet);
      if (field === 'protocol' || field === 'nexthdr') return includes(right, 'tcp', findSet);
    }
    return 'maybe';
  }
  if (meta !== undefined) {
    switch (meta['key']) {
      case 'l4proto':
        return includes(right, 'tcp', findSet);
      case 'nfproto':
        return includes(right, packet.version === 4 ? 'ipv4' : 'ipv6', findSet);
      case 'protocol':
        return includes(right, own, findSet);
      case 'iif':
      case 'iifname':
        return right === 'lo' ? 'no' : 'maybe';
      default:
        return 'maybe';
    }
  }
  if (ct?.['key'] === 'state') return includes(right, 'new', findSet);
  // A new connection has none of the marks of one that was seen before or is led elsewhere (nft(8), ct_status).
  if (ct?.['key'] === 'status') return 'no';
  return 'maybe';
}

function includes(right: unknown, wanted: string | number, findSet: FindSet): Fit {
  if (right === wanted || (wanted === 'tcp' && right === 6)) return 'yes';
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = findSet(right.slice(1));
    return elements === undefined ? 'maybe' : anyOf(elements, wanted, findSet);
  }
  if (Array.isArray(right)) return anyOf(right, wanted, findSet);
  if (typeof right !== 'object' || right === null) return 'no';
  const { set, range, elem } = right as {
    set?: unknown;
    range?: unknown[];
    elem?: { val?: unknown };
  };
  if (set !== undefined) return anyOf(Array.isArray(set) ? set : [set], wanted, findSet);
  if (elem !== undefined) return includes(elem.val, wanted, findSet);
  if (Array.isArray(range) && typeof wanted === 'number') {
    return Number(range[0]) <= wanted && wanted <= Number(range[1]) ? 'yes' : 'no';
  }
  return 'maybe';
}

/** Addresses, networks, and sets of them; of ranges nothing is said. */
function sourceIn(right: unknown, packet: Packet, findSet: FindSet): Fit {
  if (typeof right === 'string' && right.startsWith('@')) {
    const elements = findSet(right.slice(1));
    return elements === undefined ? 'maybe' : sourceIn({ set: elements }, packet, findSet);
  }
  if (typeof right === 'string') return sourceFit(packet, right);
  const { set, prefix, elem } = (right ?? {}) as {
    set?: unknown;
    prefix?: { addr?: unknown; len?: unknown };
    elem?: { val?: unknown };
  };
  if (elem !== undefined) return sourceIn(elem.val, packet, findSet);
  if (prefix !== undefined)
    return sourceFit(packet, `${String(prefix.addr)}/${String(prefix.len)}`);
  if (!Array.isArray(set)) return 'maybe';
  return mostOf(set.map((value) => sourceIn(value, packet, findSet)));
}

function mostOf(fits: readonly Fit[]): Fit {
  return fits.includes('yes') ? 'yes' : fits.includes('maybe') ? 'maybe' : 'no';
}

function anyOf(values: readonly unknown[], wanted: string | number, findSet: FindSet): Fit {
  return mostOf(values.map((value) => includes(value, wanted, findSet)));
}

function and(one: Fit, other: Fit): Fit {
  if (one === 'no' || other === 'no') return 'no';
  return one === 'maybe' || other === 'maybe' ? 'maybe' : 'yes';
}
