import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { correctMisspellings } from '../files/misspelling.ts';
import { nftBarriers, type NftBarrier } from './barrier.ts';
import {
  CORRECTS,
  isUnitEnabled,
  LETS_IN,
  nothingToRepair,
  readRules,
  type FileRepairs,
  type Look,
} from './file-repair.ts';
import { nftRemoval, nftRuleWords } from './live-opening.ts';
import { NftTextError, withIncludes, type NftText } from './nft-text.ts';

/** Debian, Red Hat. */
const PATHS = ['/etc/nftables.conf', '/etc/sysconfig/nftables.conf'];
const UNIT = 'nftables.service';
/** For one look at rules: names that stand in them are looked up. */
const WITHIN_MS = 30_000;
/** Keywords that a rule set is made of (nft(8)); names and values are the administrator's. */
const KEYWORDS = (
  'table chain rule set map element add insert flush ruleset include define type filter nat route hook ' +
  'prerouting input forward output postrouting ingress priority policy accept drop reject return jump goto ' +
  'queue continue inet ip ip6 arp bridge netdev tcp udp icmp icmpv6 dport sport saddr daddr protocol state ' +
  'established related invalid new ct meta iif oif iifname oifname l4proto nfproto counter limit rate log ' +
  'prefix comment elements flags interval timeout with mark raw mangle security srcnat dstnat masquerade'
).split(' ');

/** What the file that nftables loads at boot needs, so that SSH gets in after the next boot, too. */
export async function nftFileRepairs(look: Look): Promise<FileRepairs> {
  const { target } = look;
  if (!(await isUnitEnabled(target.files, UNIT))) return nothingToRepair;
  for (const path of PATHS) {
    const text = await readRules(target.files, path);
    if (text !== null) return repairsOf(look, path, text).catch(byHand);
  }
  return nothingToRepair;
}

function byHand(error: unknown): FileRepairs {
  if (!(error instanceof NftTextError)) throw error;
  return { ...nothingToRepair, findings: [`${error.message}. Look at it by hand.`] };
}

async function repairsOf(look: Look, path: string, text: string): Promise<FileRepairs> {
  const error = await checkRuleset(look, path, text);
  // A file with an error loads nothing: the server is then open, and said to be.
  const failsOpen =
    error === null
      ? ''
      : `${error.place}: ${error.what}. The file loads nothing while it has an error: after a boot this server has no firewall at all.`;
  const errorLine = async (candidate: string) => {
    try {
      return (await checkRuleset(look, path, candidate))?.line ?? null;
    } catch (problem) {
      // Another word made of the name of a file.
      if (problem instanceof NftTextError) return 1;
      throw problem;
    }
  };
  const valid = error === null ? text : await correctMisspellings(text, KEYWORDS, errorLine);
  if (valid === null) {
    return { ...nothingToRepair, findings: [`${failsOpen} Correct it by hand.`] };
  }
  const barriers = await barriersIn(look, path, valid);
  const after = withRules(valid, barriers);
  if (after === text) return nothingToRepair;
  if ((await barriersIn(look, path, after)).length > 0) {
    throw new ActionError('cannot_open', `${path}: no rule was found that lets SSH in`);
  }
  const step = {
    id: 'nftables-file',
    description: error === null ? LETS_IN : CORRECTS,
    changes: [{ kind: 'file' as const, path, content: Buffer.from(after), mode: 0o644 }],
    verify: 'Loaded in an empty network of its own, the file lets SSH in.',
  };
  return {
    steps: [step],
    findings: error === null ? [] : [failsOpen],
    removals: barriers.map(nftRemoval),
  };
}

async function barriersIn(look: Look, path: string, text: string): Promise<NftBarrier[]> {
  const ruleset = await loadRuleset(look, path, text);
  return look.packets.flatMap((packet) => nftBarriers(ruleset, packet));
}

/** Rules at the end of the file, each put before what keeps SSH out. */
function withRules(text: string, barriers: readonly NftBarrier[]): string {
  const rules = barriers.map((barrier) => {
    const { family, table, chain, index } = barrier;
    const place = index === null ? ['add', 'rule'] : ['insert', 'rule'];
    const position = index === null ? [] : ['index', String(index)];
    const words = [...place, family, table, chain, ...position, ...nftRuleWords(barrier)];
    return `${words.join(' ')}\n`;
  });
  const end = text === '' || text.endsWith('\n') ? '' : '\n';
  // One in a table of both versions is found for both.
  return rules.length === 0 ? text : `${text}${end}${[...new Set(rules)].toReversed().join('')}`;
}

interface LoadError {
  /** Of the text with all that it includes. */
  line: number;
  place: string;
  what: string;
}

/** JSON of the rules that a text without errors makes in an empty network. */
async function loadRuleset(look: Look, path: string, text: string): Promise<string> {
  const { context } = look;
  await writeRuleset(look, path, text);
  const done = await inOwnNetwork(context, ['nft', '--json', '--interactive'], {
    input: `include "${scratchFile(context)}"\nlist ruleset\n`,
  });
  if (done.exitStatus === 0 && !done.truncated && done.out.startsWith('{')) return done.out;
  throw new ActionError('rules_unreadable', `nft cannot show rules: ${done.err.trim()}`);
}

/** The first error of a text. */
async function checkRuleset(look: Look, path: string, text: string): Promise<LoadError | null> {
  const { context } = look;
  const { placeOf } = await writeRuleset(look, path, text);
  const argv = ['nft', '--check', '--file', scratchFile(context)];
  const done = await inOwnNetwork(context, argv);
  if (done.exitStatus === 0) return null;
  const [, line, what = ''] = /:(\d+):[\d-]+: Error: (.*)/.exec(done.err) ?? [];
  if (line === undefined) {
    throw new ActionError('rules_unreadable', `nft cannot check rules: ${done.err.trim()}`);
  }
  const place = placeOf(Number(line));
  return { line: Number(line), place: `${place.path}:${place.line}`, what };
}

async function writeRuleset(
  { context, target }: Look,
  path: string,
  text: string,
): Promise<NftText> {
  const whole = await withIncludes(target.files, path, text);
  await writeFile(scratchFile(context), whole.text, { mode: 0o600 });
  return whole;
}

function scratchFile({ directory }: ActionContext): string {
  return join(directory, 'scratch', 'ruleset.nft');
}

/** What is loaded touches nothing: the network is empty, and gone with the program. */
export function inOwnNetwork(
  context: ActionContext,
  argv: readonly string[],
  options: { input?: string } = {},
): Promise<CommandResult> {
  return context.run(['unshare', '--net', '--', ...argv], {
    output: 'capture',
    timeoutMs: WITHIN_MS,
    signal: context.signal,
    ...options,
  });
}
