import { iptablesChains } from '../diagnostics/firewall/iptables-save.ts';
import { nftBases } from '../diagnostics/firewall/nft-ruleset.ts';
import {
  followPacket,
  type FilterChain,
  type Packet,
} from '../diagnostics/firewall/packet-path.ts';

/** Where a packet is kept out: by a rule of a chain, or by the policy at its end. */
export interface Barrier {
  packet: Packet;
  chain: string;
  /** Its number in the chain, from 0; null: the policy. */
  index: number | null;
  /** As the firewall itself shows it. */
  text: string;
}

/** In rules of nftables. */
export interface NftBarrier extends Barrier {
  family: string;
  table: string;
  /** nftables' own number of the rule; null: the policy. */
  handle: number | null;
  /** Nobody but the program that made the table may change it. */
  isOwned: boolean;
}

/**
 * @param json of `nft --json list ruleset`
 * @param isPassedOver tables that another look is taken at
 */
export function nftBarriers(
  json: string,
  packet: Packet,
  isPassedOver: (family: string, table: string) => boolean = () => false,
): NftBarrier[] {
  return nftBases(json, packet)
    .filter(({ family, table }) => !isPassedOver(family, table))
    .flatMap(({ family, table, name, chains, isOwned }) => {
      const found = barrierIn(chains, name, packet);
      if (found === null) return [];
      const rule = found.index === null ? null : chains.get(found.chain)!.rules[found.index]!;
      return [{ ...found, family, table, isOwned, handle: rule?.handle ?? null }];
    });
}

/** Chains for rules of people in ufw's rules; what it adds itself stands there, too. */
const UFW_CHAINS = { 4: 'ufw-user-input', 6: 'ufw6-user-input' } as const;

/** @param saved of `iptables-save` or `ip6tables-save`, or a file of theirs */
export function iptablesBarrier(saved: string, packet: Packet): Barrier | null {
  const chains = iptablesChains(saved, packet);
  if (!chains.has('INPUT')) return null;
  const found = barrierIn(chains, 'INPUT', packet);
  const ufw = UFW_CHAINS[packet.version];
  return found?.index === null && chains.has(ufw) ? { ...found, chain: ufw } : found;
}

function barrierIn(
  chains: ReadonlyMap<string, FilterChain>,
  base: string,
  packet: Packet,
): Barrier | null {
  const { outcome, text, place } = followPacket(chains, base);
  return outcome === 'blocked' ? { packet, text, ...place } : null;
}
