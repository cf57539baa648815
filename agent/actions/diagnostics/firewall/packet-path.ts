import { BlockList, isIP } from 'node:net';

/** A new TCP connection to this server from somewhere outside. */
export interface Packet {
  port: number;
  version: 4 | 6;
  /** Address, or network with its prefix length, that it comes from; null when that is not known. */
  source: string | null;
}

/** How far a rule fits a packet of which only so much is known. */
export type Fit = 'yes' | 'no' | 'maybe';

/** Whether the packet comes from an address or network that a rule names. */
export function sourceFit(packet: Packet, named: string): Fit {
  if (packet.source === null) return 'maybe';
  const [address = '', length] = packet.source.split('/');
  const [base = '', prefix] = named.split('/');
  const family = isIP(address);
  if (isIP(base) === 0) return 'maybe';
  if (isIP(base) !== family) return 'no';
  const bits = family === 4 ? 32 : 128;
  const [own, theirs] = [length ?? bits, prefix ?? bits].map(Number);
  if (!(theirs! >= 0 && theirs! <= bits)) return 'maybe';
  const isWithin = (inner: string, outer: string, outerBits: number) => {
    const list = new BlockList();
    list.addSubnet(outer, outerBits, family === 4 ? 'ipv4' : 'ipv6');
    return list.check(inner, family === 4 ? 'ipv4' : 'ipv6');
  };
  if (own! >= theirs!) return isWithin(address, base, theirs!) ? 'yes' : 'no';
  // A network of which the rule names a part.
  return isWithin(base, address, own!) ? 'maybe' : 'no';
}

export type Verdict =
  | { kind: 'accept' | 'drop' | 'return' }
  | { kind: 'jump' | 'goto'; chain: string }
  /** Logs, counts, marks: the packet goes on. */
  | { kind: 'none' };

export interface FilterRule {
  fit: Fit;
  verdict: Verdict;
  /** As the firewall itself shows it. */
  text: string;
  /** nftables' own number of the rule; 0 where there is none. */
  handle: number;
}

export interface FilterChain {
  rules: readonly FilterRule[];
  /** What becomes of a packet at the end of a base chain. */
  policy: 'accept' | 'drop';
}

export interface Passage {
  /** `some`: it depends on what is not known, such as who sends it. */
  outcome: 'open' | 'some' | 'blocked';
  /** What decided. */
  text: string;
  /** The chain in which it was decided, and by its which rule, from 0; null: by the policy. */
  place: { chain: string; index: number | null };
}

const DEPTH_MAX = 16;

/**
 * Follows a packet through one base chain, in three values: a rule that may or may not fit never decides,
 * and one that may accept makes the outcome `some` at worst.
 */
export function followPacket(chains: ReadonlyMap<string, FilterChain>, base: string): Passage {
  let mayAccept = false;
  const walk = (name: string, isSure: boolean, depth: number): Passage | 'return' | null => {
    const chain = chains.get(name);
    if (chain === undefined || depth > DEPTH_MAX) return null;
    for (const [index, { fit, verdict, text }] of chain.rules.entries()) {
      if (fit === 'no' || verdict.kind === 'none') continue;
      const sure = isSure && fit === 'yes';
      if (verdict.kind === 'jump' || verdict.kind === 'goto') {
        const inner = walk(verdict.chain, sure, depth + 1);
        if (inner !== null && inner !== 'return' && sure) return inner;
        if (sure && verdict.kind === 'goto') return null;
        continue;
      }
      if (verdict.kind === 'accept' && !sure) mayAccept = true;
      if (!sure) continue;
      if (verdict.kind === 'return') return 'return';
      const outcome = verdict.kind === 'accept' ? 'open' : 'blocked';
      return { outcome, text, place: { chain: name, index } };
    }
    return null;
  };
  const end = walk(base, true, 0);
  const policy = chains.get(base)?.policy ?? 'accept';
  const passage: Passage =
    end !== null && end !== 'return'
      ? end
      : {
          outcome: policy === 'accept' ? 'open' : 'blocked',
          text: `${base}: policy ${policy}`,
          place: { chain: base, index: null },
        };
  if (passage.outcome === 'blocked' && mayAccept) return { ...passage, outcome: 'some' };
  return passage;
}
