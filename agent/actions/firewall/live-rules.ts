import { observerSpecs } from '../../jobs/observations.ts';
import type { ActionContext } from '../../runner/action.ts';
import { ActionError } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import { iptablesBarrier, nftBarriers, type Barrier } from './barrier.ts';
import { zonesInUse } from './firewalld-zones.ts';
import { iptablesOpening, nftOpenings, type LiveOpening } from './live-opening.ts';

/** The rules that hold now. */
export interface LiveRules {
  /** JSON of nft; null where nftables is not in use. */
  nft: string | null;
  /** Rules that iptables keeps, by the program that shows and changes them. */
  saved: { tool: string; version: 4 | 6; text: string }[];
  /** Zones of firewalld that interfaces or senders belong to. */
  zones: readonly string[];
}

/** Tables of nftables that belong to iptables, which alone may change them (iptables-nft(8)). */
const IPTABLES_TABLES = ['ip filter', 'ip6 filter'];

/** Looks, without making the kernel load a module for it. */
export async function readLiveRules(
  context: ActionContext,
  files: TargetFiles,
): Promise<LiveRules> {
  const specs = await observerSpecs();
  const read = async (argv: readonly string[]) => {
    const done = await context.run(argv, { output: 'capture' }).catch(() => null);
    if (done?.truncated === true) {
      throw new ActionError('too_many_rules', `${argv.join(' ')}: more rules than can be judged`);
    }
    return done?.exitStatus === 0 ? done.out : null;
  };
  const observed = (name: string) => specs.find((spec) => spec.name === name)?.argv ?? null;
  const nft = observed('nft') === null ? null : await read(observed('nft')!);
  const saved: LiveRules['saved'] = [];
  const add = async (tool: string, version: 4 | 6, argv: readonly string[] | null) => {
    const text = argv === null ? null : await read(argv);
    if (text !== null && /^-A |^:INPUT DROP/m.test(text)) saved.push({ tool, version, text });
  };
  await add('iptables-legacy', 4, observed('iptables'));
  await add('ip6tables-legacy', 6, observed('ip6tables'));
  if (nft !== null && /"name": ?"filter"/.test(nft)) {
    await add('iptables-nft', 4, ['iptables-nft-save']);
    await add('ip6tables-nft', 6, ['ip6tables-nft-save']);
  }
  return { nft, saved, zones: await zonesInUse(files) };
}

export interface LiveBarrier extends Barrier {
  /** What lets the packet in. */
  openings: LiveOpening[];
}

/** Everything that keeps a packet out, each with what lets it in. */
export function liveBarriers(rules: LiveRules, packet: Packet): LiveBarrier[] {
  const ofIptables = rules.saved.filter(({ tool }) => tool.endsWith('-nft'));
  const isPassedOver = (family: string, table: string) =>
    IPTABLES_TABLES.includes(`${family} ${table}`) &&
    ofIptables.some(({ version }) => (version === 4 ? 'ip' : 'ip6') === family);
  const nft = rules.nft === null ? [] : nftBarriers(rules.nft, packet, isPassedOver);
  const saved = rules.saved
    .filter(({ version }) => version === packet.version)
    .flatMap(({ tool, text }) => {
      const barrier = iptablesBarrier(text, packet);
      return barrier === null ? [] : [{ ...barrier, openings: [iptablesOpening(barrier, tool)] }];
    });
  const opened = nft.map((one) => ({ ...one, openings: nftOpenings(one, rules.zones) }));
  return [...opened, ...saved];
}
