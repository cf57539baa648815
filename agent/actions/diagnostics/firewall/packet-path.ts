/** How far a rule fits a packet of which only its port and protocol are known. */
export type Fit = 'yes' | 'no' | 'maybe';

export type Verdict =
  | { kind: 'accept' | 'drop' | 'return' }
  | { kind: 'jump' | 'goto'; chain: string }
  /** Logs, counts, marks: the packet goes on. */
  | { kind: 'none' };

export interface FilterRule {
  fit: Fit;
  verdict: Verdict;
  /** As the firewall itself shows it. */
  text: string;
}

export interface FilterChain {
  rules: readonly FilterRule[];
  /** What becomes of a packet at the end of a base chain. */
  policy: 'accept' | 'drop';
}

export interface Passage {
  /** `some`: it depends on what is not known, such as who sends it. */
  outcome: 'open' | 'some' | 'blocked';
  /** What decided. */
  text: string;
}

const DEPTH_MAX = 16;

/**
 * Follows a packet through one base chain, in three values: a rule that may or may not fit never decides,
 * and one that may accept makes the outcome `some` at worst.
 */
export function followPacket(chains: ReadonlyMap<string, FilterChain>, base: string): Passage {
  let mayAccept = false;
  const walk = (name: string, isSure: boolean, depth: number): Passage | 'return' | null => {
    const chain = chains.get(name);
    if (chain === undefined || depth > DEPTH_MAX) return null;
    for (const { fit, verdict, text } of chain.rules) {
      if (fit === 'no' || verdict.kind === 'none') continue;
      const sure = isSure && fit === 'yes';
      if (verdict.kind === 'jump' || verdict.kind === 'goto') {
        const inner = walk(verdict.chain, sure, depth + 1);
        if (inner !== null && inner !== 'return' && sure) return inner;
        if (sure && verdict.kind === 'goto') return null;
        continue;
      }
      if (verdict.kind === 'accept' && !sure) mayAccept = true;
      if (!sure) continue;
      if (verdict.kind === 'return') return 'return';
      return { outcome: verdict.kind === 'accept' ? 'open' : 'blocked', text };
    }
    return null;
  };
  const end = walk(base, true, 0);
  const policy = chains.get(base)?.policy ?? 'accept';
  const passage: Passage =
    end !== null && end !== 'return'
      ? end
      : { outcome: policy === 'accept' ? 'open' : 'blocked', text: `${base}: policy ${policy}` };
  if (passage.outcome === 'blocked' && mayAccept) return { ...passage, outcome: 'some' };
  return passage;
}
