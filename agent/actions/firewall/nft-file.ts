import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
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

/** Debian, Red Hat. */
const PATHS = ['/etc/nftables.conf', '/etc/sysconfig/nftables.conf'];
const UNIT = 'nftables.service';
const INCLUDE = /^[ \t]*include[ \t]+"([^"]+)"[ \t]*;?[ \t]*$/gm;
const DEPTH_MAX = 8;
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
    if (text !== null) return repairsOf(look, path, text);
  }
  return nothingToRepair;
}

async function repairsOf(look: Look, path: string, text: string): Promise<FileRepairs> {
  const error = await checkRuleset(look, text);
  // A file with an error loads nothing: the server is then open, and said to be.
  const failsOpen =
    error === null
      ? ''
      : `${path}:${error.line}: ${error.what}. The file loads nothing while it has an error: after a boot this server has no firewall at all.`;
  const errorLine = async (candidate: string) =>
    (await checkRuleset(look, candidate))?.line ?? null;
  const valid = error === null ? text : await correctMisspellings(text, KEYWORDS, errorLine);
  if (valid === null) {
    return { ...nothingToRepair, findings: [`${failsOpen} Correct it by hand.`] };
  }
  const barriers = await barriersIn(look, valid);
  const after = withRules(valid, barriers);
  if (after === text) return nothingToRepair;
  if ((await barriersIn(look, after)).length > 0) {
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

async function barriersIn(look: Look, text: string): Promise<NftBarrier[]> {
  const ruleset = await loadRuleset(look, text);
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
  line: number;
  what: string;
}

/** JSON of the rules that a text without errors makes in an empty network. */
async function loadRuleset(look: Look, text: string): Promise<string> {
  const { context } = look;
  await writeRuleset(look, text);
  const done = await inOwnNetwork(context, ['nft', '--json', '--interactive'], {
    input: `include "${scratchFile(context)}"\nlist ruleset\n`,
  });
  if (done.exitStatus === 0 && !done.truncated && done.out.startsWith('{')) return done.out;
  throw new ActionError('rules_unreadable', `nft cannot show rules: ${done.err.trim()}`);
}

/** The first error of a text. */
async function checkRuleset(look: Look, text: string): Promise<LoadError | null> {
  const { context } = look;
  const file = await writeRuleset(look, text);
  const done = await inOwnNetwork(context, ['nft', '--check', '--file', file]);
  if (done.exitStatus === 0) return null;
  const [, line, what = ''] = /:(\d+):[\d-]+: Error: (.*)/.exec(done.err) ?? [];
  if (line === undefined) {
    throw new ActionError('rules_unreadable', `nft cannot check rules: ${done.err.trim()}`);
  }
  return { line: Number(line), what };
}

async function writeRuleset({ context, target }: Look, text: string): Promise<string> {
  const file = scratchFile(context);
  await writeFile(file, await withIncludes(target.files, text, 0), { mode: 0o600 });
  return file;
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
  return context.run(['unshare', '--net', '--', ...argv], { output: 'capture', ...options });
}

/** The text with what it includes: nft itself would follow links out of a target. */
async function withIncludes(files: TargetFiles, text: string, depth: number): Promise<string> {
  if (depth > DEPTH_MAX) throw new ActionError('rules_unreadable', 'files include each other');
  const pieces: string[] = [];
  let end = 0;
  for (const match of text.matchAll(INCLUDE)) {
    pieces.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    for (const path of await included(files, match[1]!)) {
      const content = await files.read(path).catch(() => null);
      if (content !== null) pieces.push(await withIncludes(files, content, depth + 1));
    }
  }
  return [...pieces, text.slice(end)].join('');
}

async function included(files: TargetFiles, named: string): Promise<string[]> {
  const path = named.startsWith('/') ? named : `/etc/${named}`;
  const at = path.lastIndexOf('/');
  const pattern = path.slice(at + 1);
  if (!pattern.includes('*')) return [path];
  const [head = '', tail = ''] = pattern.split('*', 2);
  const names = await files.list(path.slice(0, at));
  return names
    .filter((name) => !name.startsWith('.') && name.startsWith(head) && name.endsWith(tail))
    .map((name) => `${path.slice(0, at)}/${name}`);
}
