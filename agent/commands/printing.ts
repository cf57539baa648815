import { harmless, harmlessJson } from '../../proto/documents/harmless-text.ts';

/**
 * Lines for root's terminal. Names, tickets and settings in them are the words of others: no character of them is
 * an order to the terminal.
 */
export function printLines(lines: readonly string[], to: 'stdout' | 'stderr' = 'stdout'): void {
  process[to].write(lines.map((line) => `${harmless(line)}\n`).join(''));
}

/** For programs, and for people who read what programs do. */
export function printJson(value: unknown): void {
  process.stdout.write(`${harmlessJson(value, 2)}\n`);
}
