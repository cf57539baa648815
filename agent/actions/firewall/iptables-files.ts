import { ActionError } from '../../runner/action.ts';
import { correctMisspellings } from '../files/misspelling.ts';
import { iptablesBarrier, type Barrier } from './barrier.ts';
import {
  CORRECTS,
  isUnitEnabled,
  LETS_IN,
  nothingToRepair,
  readRules,
  together,
  type FileRepairs,
  type Look,
} from './file-repair.ts';
import { iptablesOpening, iptablesRuleWords } from './live-opening.ts';
import { inOwnNetwork } from './nft-file.ts';

interface RulesFile {
  path: string;
  version: 4 | 6;
  unit: string;
}

/** Debian's iptables-persistent, Red Hat's iptables-services. */
const FILES: readonly RulesFile[] = [
  { path: '/etc/iptables/rules.v4', version: 4, unit: 'netfilter-persistent.service' },
  { path: '/etc/iptables/rules.v6', version: 6, unit: 'netfilter-persistent.service' },
  { path: '/etc/sysconfig/iptables', version: 4, unit: 'iptables.service' },
  { path: '/etc/sysconfig/ip6tables', version: 6, unit: 'ip6tables.service' },
];
/** Options and targets of iptables(8) and iptables-extensions(8) that rules mostly are made of. */
const WORDS = (
  'append insert protocol source destination in-interface out-interface match jump goto dport sport dports ' +
  'sports state ctstate icmp-type icmpv6-type tcp udp icmp icmpv6 ipv6-icmp multiport conntrack comment limit ' +
  'limit-burst log-prefix log-level reject-with NEW ESTABLISHED RELATED INVALID ACCEPT DROP REJECT RETURN LOG ' +
  'INPUT OUTPUT FORWARD COMMIT filter'
).split(' ');

/** What the files that iptables-restore(8) loads at boot need, so that SSH gets in after the next boot, too. */
export async function iptablesFileRepairs(look: Look): Promise<FileRepairs> {
  const all: FileRepairs[] = [];
  for (const file of FILES) all.push(await repairsOf(look, file));
  return together(all);
}

async function repairsOf(look: Look, { path, version, unit }: RulesFile): Promise<FileRepairs> {
  const { files } = look.target;
  const text = await readRules(files, path);
  if (text === null || !(await isUnitEnabled(files, unit))) return nothingToRepair;
  const errorLine = (candidate: string) => findErrorLine(look, version, candidate);
  const error = await errorLine(text);
  const valid = error === null ? text : await correctMisspellings(text, WORDS, errorLine);
  const failsOpen = `${path}:${error}: iptables-restore does not take this line. The file loads nothing while it has an error: after a boot this server has no firewall at all.`;
  if (valid === null) {
    return { ...nothingToRepair, findings: [`${failsOpen} Correct it by hand.`] };
  }
  const { after, barriers } = letIn(look, version, valid);
  if (after === text) return nothingToRepair;
  if ((await errorLine(after)) !== null) {
    throw new ActionError('cannot_open', `${path}: iptables-restore does not take the new rule`);
  }
  const step = {
    id: `iptables-file-v${version}`,
    description: error === null ? LETS_IN : CORRECTS,
    changes: [{ kind: 'file' as const, path, content: Buffer.from(after), mode: 0o640 }],
    verify: 'iptables-restore --test takes the file, and its rules let SSH in.',
  };
  const tool = version === 4 ? 'iptables' : 'ip6tables';
  return {
    steps: [step],
    findings: error === null ? [] : [failsOpen],
    removals: barriers.map((barrier) => iptablesOpening(barrier, tool).remove),
  };
}

/** The line that iptables-restore does not take; null when it takes all. */
async function findErrorLine(look: Look, version: 4 | 6, text: string): Promise<number | null> {
  const program = version === 4 ? 'iptables-restore' : 'ip6tables-restore';
  const done = await inOwnNetwork(look.context, [program, '--test'], { input: text });
  if (done.exitStatus === 0) return null;
  const [, line] = /line:? (\d+)/.exec(done.err) ?? [];
  if (line !== undefined) return Number(line);
  throw new ActionError('rules_unreadable', `${program} cannot check rules: ${done.err.trim()}`);
}

/** The file with rules for every packet of its version that it keeps out. */
function letIn(
  { packets }: Pick<Look, 'packets'>,
  version: 4 | 6,
  text: string,
): { after: string; barriers: Barrier[] } {
  let lines = text.split('\n');
  const barriers: Barrier[] = [];
  for (const packet of packets.filter((one) => one.version === version)) {
    const barrier = iptablesBarrier(lines.join('\n'), packet);
    if (barrier === null) continue;
    barriers.push(barrier);
    lines = withRule(lines, barrier);
    if (iptablesBarrier(lines.join('\n'), packet) === null) continue;
    throw new ActionError(
      'cannot_open',
      `no rule was found that lets SSH in before: ${barrier.text}`,
    );
  }
  return { after: lines.join('\n'), barriers };
}

function withRule(lines: readonly string[], barrier: Barrier): string[] {
  const rule = `-A ${barrier.chain} ${iptablesRuleWords(barrier).join(' ')}`;
  const begin = lines.indexOf('*filter');
  const end = lines.indexOf('COMMIT', begin);
  const own = lines
    .map((line, at) => ({ line, at }))
    .filter(({ line, at }) => at > begin && at < end && line.startsWith(`-A ${barrier.chain} `));
  const at = barrier.index === null ? (own.at(-1)?.at ?? end - 1) + 1 : own[barrier.index]!.at;
  return lines.toSpliced(at, 0, rule);
}
