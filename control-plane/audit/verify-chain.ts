import { createHash } from 'node:crypto';

/** An entry as packs and exports carry it. `entry` is the exact text that was hashed. */
export interface ChainEntry {
  sequence: number;
  entry: string;
  previous: string;
  hash: string;
}

export type ChainVerdict =
  | { intact: true; entries: number; head: string }
  /** `sequence` names the first entry that is not what was written, or the one that is missing. */
  | { intact: false; sequence: number; problem: string };

export interface ChainExpectations {
  /** The chain every entry must say it belongs to. */
  chain?: string;
  /** Heads that others have seen, such as agents in their receipts: each must still be in the chain. */
  seenHeads?: readonly string[];
}

const START = '0'.repeat(64);

/**
 * Checks a hash chain from its first entry: nothing was edited, left out, added in between or put in
 * another order. That entries are missing at the end can only be told from heads that somebody has seen.
 */
export function verifyChain(
  entries: readonly ChainEntry[],
  { chain, seenHeads = [] }: ChainExpectations = {},
): ChainVerdict {
  let previous = START;
  for (const [index, entry] of entries.entries()) {
    const sequence = index + 1;
    const problem = problemOf(entry, sequence, previous, chain);
    if (problem !== null) return { intact: false, sequence, problem };
    previous = entry.hash;
  }
  const known = new Set([START, ...entries.map((entry) => entry.hash)]);
  const missing = seenHeads.find((head) => !known.has(head));
  if (missing !== undefined) {
    const problem = `an entry that was seen with hash ${missing} is missing`;
    return { intact: false, sequence: entries.length + 1, problem };
  }
  return { intact: true, entries: entries.length, head: previous };
}

function problemOf(
  entry: ChainEntry,
  sequence: number,
  previous: string,
  chain: string | undefined,
): string | null {
  if (entry.sequence !== sequence)
    return `entry ${entry.sequence} stands where ${sequence} belongs`;
  if (entry.previous !== previous) return 'does not follow the entry before it';
  const hash = createHash('sha256').update(entry.entry).digest('hex');
  if (hash !== entry.hash) return 'the text does not have its hash';
  const content = parse(entry.entry);
  if (content?.['sequence'] !== sequence || content['previous'] !== previous) {
    return 'the text says another place in the chain';
  }
  if (chain !== undefined && content['chain'] !== chain) return 'the text belongs to another chain';
  return null;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
