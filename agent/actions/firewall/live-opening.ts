import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Barrier, NftBarrier } from './barrier.ts';

const words = z.array(z.string()).min(1).max(64);

/** One rule that lets SSH in, for the rules that hold now. */
export const liveOpeningSchema = z.strictObject({
  insert: words,
  /** Takes it away; nothing happens when it is not there. The first word may be `remove-nft-rule`. */
  remove: words,
});
export type LiveOpening = z.output<typeof liveOpeningSchema>;

/** Stands for the script of that name, which lies with the guardian. */
export const REMOVE_NFT_RULE = 'remove-nft-rule';

export function nftOpening(barrier: NftBarrier): LiveOpening {
  const { family, table, chain, handle } = barrier;
  const place = [family, table, chain];
  const tag = tagOf(barrier, place);
  const verb = handle === null ? ['add'] : ['insert'];
  const position = handle === null ? [] : ['position', String(handle)];
  const rule = [...nftRuleWords(barrier), 'comment', `"${tag}"`];
  return {
    insert: ['nft', ...verb, 'rule', ...place, ...position, ...rule],
    remove: [REMOVE_NFT_RULE, ...place, tag],
  };
}

/** The rule without its place, in nft's own words. */
export function nftRuleWords({ packet: { port, version, source } }: Barrier): string[] {
  const from = source === null ? [] : [version === 4 ? 'ip' : 'ip6', 'saddr', source];
  return [...from, 'tcp', 'dport', String(port), 'accept'];
}

/** @param tool iptables or ip6tables, of the kind that holds the rules */
export function iptablesOpening(barrier: Barrier, tool: string): LiveOpening {
  const { chain, index } = barrier;
  const tag = tagOf(barrier, [tool, chain]);
  const rule = iptablesRuleWords(barrier, tag);
  const wait = [tool, '--wait', '5'];
  return {
    insert:
      index === null
        ? [...wait, '--append', chain, ...rule]
        : [...wait, '--insert', chain, String(index + 1), ...rule],
    remove: [...wait, '--delete', chain, ...rule],
  };
}

export function iptablesRuleWords(
  { packet: { port, source } }: Barrier,
  comment: string,
): string[] {
  return [
    ...(source === null ? [] : ['-s', source]),
    ...['-p', 'tcp', '-m', 'tcp', '--dport', String(port)],
    ...['-m', 'comment', '--comment', comment],
    ...['-j', 'ACCEPT'],
  ];
}

/** By which the rule is found again; the same for the same barrier, another one for every other. */
function tagOf({ packet, index, text }: Barrier, place: readonly string[]): string {
  const all = JSON.stringify([place, packet, index, text]);
  return `intervene-${createHash('sha256').update(all).digest('hex').slice(0, 12)}`;
}
