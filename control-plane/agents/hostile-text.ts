import { replaceUnseen } from '../../proto/documents/harmless-text.ts';

/**
 * Text from a server may hold anything. What PostgreSQL cannot store (NUL, lone surrogates) becomes
 * U+FFFD; what is too long is cut. Escaping for terminals and pages is the reader's part.
 */
export function cleanText(text: string, maxLength: number): string {
  return cutText(text, maxLength).replaceAll('\0', '\ufffd').toWellFormed();
}

/** The same for a word or a line, in which everything can be seen: the rest becomes U+FFFD, too. */
export function cleanLine(text: string, maxLength: number): string {
  return replaceUnseen(cleanText(text, maxLength), () => '\ufffd');
}

function cutText(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`;
}

const CLEAN_STRING_MAX = 256 * 1024;

const DEPTH_MAX = 64;

/** The same for every string and key of a JSON value. Throws RangeError for one nested deeper than 64. */
export function cleanJson(value: unknown, depth = 0): unknown {
  if (depth > DEPTH_MAX) throw new RangeError('nested too deeply');
  if (typeof value === 'string') return cleanText(value, CLEAN_STRING_MAX);
  if (Array.isArray(value)) return value.map((inner) => cleanJson(inner, depth + 1));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        cleanText(key, CLEAN_STRING_MAX),
        cleanJson(inner, depth + 1),
      ]),
    );
  }
  return value;
}
