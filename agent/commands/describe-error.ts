import { harmless } from '../../proto/documents/harmless-text.ts';

const MAX_CHARACTERS = 1_000;

/**
 * One line that says what went wrong and, behind it, what was the cause. It goes to root's terminal, and
 * parts of it may be the words of whoever answered: no character of it is an order to the terminal.
 */
export function describeError(error: unknown): string {
  return harmless(wordsOf(error).replace(/\s*[\r\n]+\s*/g, ' ')).slice(0, MAX_CHARACTERS);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const plain = plainWords(error);
  if (plain !== null) return plain;
  const { details } = error as { details?: unknown };
  const own = typeof details === 'string' && details !== '' ? details : error.message;
  const { cause } = error;
  return cause instanceof Error && !own.includes(cause.message) ? `${own}: ${cause.message}` : own;
}

const SYSTEM_WORDS: Record<string, string> = {
  ENOENT: 'there is no such file; on a server that is not enrolled that is so',
  EACCES: 'permission denied; run it as root',
  EPERM: 'not permitted; run it as root',
  EISDIR: 'it is a folder, not a file',
};

/** What the system said of a file, in words; null for every other error. */
function plainWords(error: Error): string | null {
  const { code, path } = error as NodeJS.ErrnoException;
  const words = code === undefined ? undefined : SYSTEM_WORDS[code];
  return path === undefined || words === undefined ? null : `${path}: ${words} (${code})`;
}
