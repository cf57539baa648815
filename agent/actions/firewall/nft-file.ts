import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../process/command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Target } from '../../target/open-target.ts';
import { correctMisspelling } from '../files/misspelling.ts';
import { nftBarriers, type NftBarrier } from './barrier.ts';
import {
  isUnitEnabled,
  nothingToRepair,
  NOTE,
  type FileRepairs,
  type Look,
} from './file-repair.ts';
import { nftRuleWords } from './live-opening.ts';

/** Debian, Red Hat. */
const PATHS = ['/etc/nftables.conf', '/etc/sysconfig/nftables.conf'];
const UNIT = 'nftables.service';
const INCLUDE = /^[ \t]*include[ \t]+"([^"]+)"[ \t]*;?[ \t]*$/gm;
const DEPTH_MAX = 8;
const ERRORS_MAX = 4;
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
    const text = await target.files.read(path).catch(() => null);
    if (text !== null) return repairsOf(look, path, text);
  }
  return nothingToRepair;
}

async function repairsOf(look: Look, path: string, text: string): Promise<FileRepairs> {
  const loaded = await loadRuleset(look, text);
  if (typeof loaded !== 'string') return repairsOfError(look, path, text, loaded);
  const after = withRules(text, barriersIn(loaded, look));
  if (after === text) return nothingToRepair;
  return {
    steps: [await stepFor(look, path, after, 'Let SSH in after a boot, too')],
    findings: [],
  };
}

/** A file with an error loads nothing: the server is then open, and said to be. */
async function repairsOfError(
  look: Look,
  path: string,
  text: string,
  error: LoadError,
): Promise<FileRepairs> {
  const failsOpen = `${path}:${error.line}: ${error.what}. The file loads nothing while it has an error: after a boot this server has no firewall at all.`;
  let corrected = text;
  let at: LoadError | string = error;
  for (let errors = 0; typeof at !== 'string' && errors < ERRORS_MAX; errors++) {
    const { line } = at;
    // Right is what brings the checker past this line.
    const isRight = async (candidate: string) => {
      const again = await checkRuleset(look, candidate);
      return again === null || again.line > line;
    };
    const better = await correctMisspelling(corrected, line, KEYWORDS, isRight);
    if (better === null) {
      return {
        steps: [],
        findings: [`${failsOpen} Correct it by hand; no single word explains it.`],
      };
    }
    corrected = better;
    at = await loadRuleset(look, corrected);
  }
  if (typeof at !== 'string') {
    return { steps: [], findings: [`${failsOpen} Correct it by hand; it has further errors.`] };
  }
  const after = withRules(corrected, barriersIn(at, look));
  const what =
    'Correct a misspelt word, so that the firewall loads at the next boot and lets SSH in';
  return { steps: [await stepFor(look, path, after, what)], findings: [failsOpen] };
}

async function stepFor(look: Look, path: string, after: string, description: string) {
  const loaded = await loadRuleset(look, after);
  if (typeof loaded !== 'string' || barriersIn(loaded, look).length > 0) {
    throw new ActionError('cannot_open', `${path}: no rule was found that lets SSH in`);
  }
  return {
    id: 'nftables-file',
    description,
    changes: [{ kind: 'file' as const, path, content: Buffer.from(after), mode: 0o644 }],
    verify: 'Loaded in an empty network of its own, the file lets SSH in.',
  };
}

function barriersIn(ruleset: string, { packets }: Look): NftBarrier[] {
  return packets.flatMap((packet) => nftBarriers(ruleset, packet));
}

/** Rules at the end of the file, each put before what keeps SSH out. */
function withRules(text: string, barriers: readonly NftBarrier[]): string {
  const rules = barriers.map((barrier) => {
    const { family, table, chain, index } = barrier;
    const place = index === null ? ['add', 'rule'] : ['insert', 'rule'];
    const position = index === null ? [] : ['index', String(index)];
    const words = [...place, family, table, chain, ...position, ...nftRuleWords(barrier)];
    return `${words.join(' ')} comment "${NOTE}"\n`;
  });
  const end = text === '' || text.endsWith('\n') ? '' : '\n';
  // One in a table of both versions is found for both.
  return rules.length === 0 ? text : `${text}${end}${[...new Set(rules)].toReversed().join('')}`;
}

interface LoadError {
  line: number;
  what: string;
}

/** JSON of the rules that a text makes in an empty network; or the first error. */
async function loadRuleset(
  { context, target }: Pick<Look, 'context' | 'target'>,
  text: string,
): Promise<string | LoadError> {
  const error = await checkRuleset({ context, target }, text);
  if (error !== null) return error;
  const done = await inOwnNetwork(context, target, ['nft', '--json', '--interactive'], {
    input: `include "${scratchFile(context)}"\nlist ruleset\n`,
  });
  if (done.exitStatus === 0 && !done.truncated && done.out.startsWith('{')) return done.out;
  throw new ActionError('rules_unreadable', `nft cannot show rules: ${done.err.trim()}`);
}

async function checkRuleset(
  { context, target }: Pick<Look, 'context' | 'target'>,
  text: string,
): Promise<LoadError | null> {
  const file = scratchFile(context);
  await writeFile(file, await withIncludes(target.files, text, 0), { mode: 0o600 });
  const done = await inOwnNetwork(context, target, ['nft', '--check', '--file', file]);
  if (done.exitStatus === 0) return null;
  const [, line, what = ''] = /:(\d+):[\d-]+: Error: (.*)/.exec(done.err) ?? [];
  if (line === undefined) {
    throw new ActionError('rules_unreadable', `nft cannot check rules: ${done.err.trim()}`);
  }
  return { line: Number(line), what };
}

function scratchFile({ directory }: ActionContext): string {
  return join(directory, 'scratch', 'ruleset.nft');
}

/** What is loaded touches nothing: the network is empty, and gone with the program. */
export function inOwnNetwork(
  context: ActionContext,
  { kind }: Target,
  argv: readonly string[],
  options: { input?: string } = {},
): Promise<CommandResult> {
  // The runner for disks may make networks in a user namespace alone.
  const own = kind === 'live' ? ['--net'] : ['--user', '--map-root-user', '--net'];
  return context.run(['unshare', ...own, '--', ...argv], { output: 'capture', ...options });
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
