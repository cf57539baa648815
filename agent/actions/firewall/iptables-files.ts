import { ActionError } from '../../runner/action.ts';
import { correctMisspelling } from '../files/misspelling.ts';
import { iptablesBarrier, type Barrier } from './barrier.ts';
import {
  isUnitEnabled,
  nothingToRepair,
  NOTE,
  type FileRepairs,
  type Look,
} from './file-repair.ts';
import { iptablesRuleWords } from './live-opening.ts';
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
const ERRORS_MAX = 4;
/** Options and targets of iptables(8) and iptables-extensions(8) that rules mostly are made of. */
const WORDS = (
  'append insert protocol source destination in-interface out-interface match jump goto dport sport dports ' +
  'sports state ctstate icmp-type icmpv6-type tcp udp icmp icmpv6 ipv6-icmp multiport conntrack comment limit ' +
  'limit-burst log-prefix log-level reject-with NEW ESTABLISHED RELATED INVALID ACCEPT DROP REJECT RETURN LOG ' +
  'INPUT OUTPUT FORWARD COMMIT filter'
).split(' ');

/** What the files that iptables-restore(8) loads at boot need, so that SSH gets in after the next boot, too. */
export async function iptablesFileRepairs(look: Look): Promise<FileRepairs> {
  const all: FileRepairs = { steps: [], findings: [] };
  for (const file of FILES) {
    const repairs = await repairsOf(look, file);
    all.steps.push(...repairs.steps);
    all.findings.push(...repairs.findings);
  }
  return all;
}

async function repairsOf(look: Look, { path, version, unit }: RulesFile): Promise<FileRepairs> {
  const { files } = look.target;
  const text = await files.read(path).catch(() => null);
  if (text === null || !(await isUnitEnabled(files, unit))) return nothingToRepair;
  const error = await errorLine(look, version, text);
  const valid = error === null ? text : await corrected(look, version, text, error);
  const failsOpen = `${path}:${error}: iptables-restore does not take this line. The file loads nothing while it has an error: after a boot this server has no firewall at all.`;
  if (valid === null) {
    return {
      steps: [],
      findings: [`${failsOpen} Correct it by hand; no single word explains it.`],
    };
  }
  const after = letIn(look, version, valid);
  if (after === text) return nothingToRepair;
  if (error === null && (await errorLine(look, version, after)) !== null) {
    throw new ActionError('cannot_open', `${path}: iptables-restore does not take the new rule`);
  }
  return {
    steps: [
      {
        id: `iptables-file-v${version}`,
        description:
          error === null
            ? `Let SSH in over IPv${version} after a boot, too`
            : 'Correct a misspelt word, so that the firewall loads at the next boot and lets SSH in',
        changes: [{ kind: 'file', path, content: Buffer.from(after), mode: 0o640 }],
        verify: 'iptables-restore --test takes the file, and its rules let SSH in.',
      },
    ],
    findings: error === null ? [] : [failsOpen],
  };
}

async function corrected(
  look: Look,
  version: 4 | 6,
  text: string,
  error: number,
): Promise<string | null> {
  let line: number | null = error;
  let best = text;
  for (let errors = 0; line !== null && errors < ERRORS_MAX; errors++) {
    const at: number = line;
    const isRight = async (candidate: string) => {
      const again = await errorLine(look, version, candidate);
      return again === null || again > at;
    };
    const better = await correctMisspelling(best, at, WORDS, isRight);
    if (better === null) return null;
    best = better;
    line = await errorLine(look, version, best);
  }
  return line === null ? best : null;
}

/** The line that iptables-restore does not take; null when it takes all. */
async function errorLine(look: Look, version: 4 | 6, text: string): Promise<number | null> {
  const program = version === 4 ? 'iptables-restore' : 'ip6tables-restore';
  const done = await inOwnNetwork(look.context, look.target, [program, '--test'], { input: text });
  if (done.exitStatus === 0) return null;
  const [, line] = /line:? (\d+)/.exec(done.err) ?? [];
  if (line !== undefined) return Number(line);
  throw new ActionError('rules_unreadable', `${program} cannot check rules: ${done.err.trim()}`);
}

/** The file with rules for every packet of its version that it keeps out. */
export function letIn({ packets }: Pick<Look, 'packets'>, version: 4 | 6, text: string): string {
  let lines = text.split('\n');
  for (const packet of packets.filter((one) => one.version === version)) {
    const barrier = iptablesBarrier(lines.join('\n'), packet);
    if (barrier === null) continue;
    lines = withRule(lines, barrier);
    if (iptablesBarrier(lines.join('\n'), packet) === null) continue;
    throw new ActionError(
      'cannot_open',
      `no rule was found that lets SSH in before: ${barrier.text}`,
    );
  }
  return lines.join('\n');
}

function withRule(lines: readonly string[], barrier: Barrier): string[] {
  const comment = JSON.stringify(NOTE);
  const rule = `-A ${barrier.chain} ${iptablesRuleWords(barrier, comment).join(' ')}`;
  const begin = lines.indexOf('*filter');
  const end = lines.indexOf('COMMIT', begin);
  const own = lines
    .map((line, at) => ({ line, at }))
    .filter(({ line, at }) => at > begin && at < end && line.startsWith(`-A ${barrier.chain} `));
  const at = barrier.index === null ? (own.at(-1)?.at ?? end - 1) + 1 : own[barrier.index]!.at;
  return lines.toSpliced(at, 0, rule);
}
