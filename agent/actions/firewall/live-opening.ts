import { createHash } from 'node:crypto';
import { ActionError } from '../../runner/action.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import type { Barrier, NftBarrier } from './barrier.ts';

/** One rule that lets SSH in, for the rules that hold now. */
export interface LiveOpening {
  insert: string[];
  /** Takes it away; nothing happens when it is not there. The first word may be `remove-nft-rule`. */
  remove: string[];
}

/** Stands for the script of that name, which lies with the guardian. */
export const REMOVE_NFT_RULE = 'remove-nft-rule';

/** Throws as `ownedOpenings`. */
export function nftOpenings(barrier: NftBarrier, zones: readonly string[]): LiveOpening[] {
  return barrier.isOwned ? ownedOpenings(barrier, zones) : [nftOpening(barrier)];
}

function nftOpening(barrier: NftBarrier): LiveOpening {
  const { family, table, chain, handle } = barrier;
  const place = [family, table, chain];
  const verb = handle === null ? ['add'] : ['insert'];
  const position = handle === null ? [] : ['position', String(handle)];
  return {
    insert: ['nft', ...verb, 'rule', ...place, ...position, ...nftRuleWords(barrier)],
    remove: nftRemoval(barrier),
  };
}

/**
 * firewalld lets nobody but itself change its table, and is asked (firewall-cmd(1)); that holds until it reloads its
 * files. Throws ActionError `rules_owned` where another program keeps the table to itself.
 *
 * @param zones those that interfaces or senders belong to
 */
function ownedOpenings({ table, packet }: NftBarrier, zones: readonly string[]): LiveOpening[] {
  if (table !== 'firewalld' || zones.length === 0) {
    throw new ActionError(
      'rules_owned',
      `the table ${table} of nftables belongs to a program that keeps it to itself: let SSH in with that`,
    );
  }
  const { port, source, version } = packet;
  const rule =
    source === null
      ? `port=${port}/tcp`
      : `rich-rule=rule family="ipv${version}" source address="${source}" port port="${port}" protocol="tcp" accept`;
  return zones.map((zone) => {
    const words = (verb: string) => ['firewall-cmd', `--zone=${zone}`, `--${verb}-${rule}`];
    return { insert: words('add'), remove: words('remove') };
  });
}

/** What takes a rule of a file away where it holds already. */
export function nftRemoval({ family, table, chain, packet }: NftBarrier): string[] {
  const place = [family, table, chain];
  return [REMOVE_NFT_RULE, ...place, tagOf(packet, place)];
}

/** The rule without its place, in nft's own words. */
export function nftRuleWords({ packet, family, table, chain }: NftBarrier): string[] {
  const { port, version, source } = packet;
  const from = source === null ? [] : [version === 4 ? 'ip' : 'ip6', 'saddr', source];
  const tag = tagOf(packet, [family, table, chain]);
  return [...from, 'tcp', 'dport', String(port), 'accept', 'comment', `"${tag}"`];
}

/** @param tool iptables or ip6tables, of the kind that holds the rules */
export function iptablesOpening(barrier: Barrier, tool: string): LiveOpening {
  const { chain, index } = barrier;
  const rule = iptablesRuleWords(barrier);
  const wait = [tool, '--wait', '5'];
  return {
    insert:
      index === null
        ? [...wait, '--append', chain, ...rule]
        : [...wait, '--insert', chain, String(index + 1), ...rule],
    remove: [...wait, '--delete', chain, ...rule],
  };
}

/** The rule; in a chain of ufw as ufw itself would write it. */
export function iptablesRuleWords({ packet, chain }: Barrier): string[] {
  const { port, source } = packet;
  const comment = ['-m', 'comment', '--comment', tagOf(packet, ['iptables', chain])];
  return [
    ...(source === null ? [] : ['-s', source]),
    ...['-p', 'tcp', '-m', 'tcp', '--dport', String(port)],
    ...(chain.startsWith('ufw') ? [] : comment),
    ...['-j', 'ACCEPT'],
  ];
}

/**
 * By which the rule is found again, the one that holds now and the one that a file makes at boot: the same for the
 * same packets in the same chain.
 */
function tagOf(packet: Packet, place: readonly string[]): string {
  const all = JSON.stringify([place, packet.port, packet.source]);
  return `intervene-${createHash('sha256').update(all).digest('hex').slice(0, 12)}`;
}
