/**
 * Text from a server may hold anything. What PostgreSQL cannot store (NUL, lone surrogates) becomes
 * U+FFFD; what is too long is cut. Escaping for terminals and pages is the reader's part.
 */
export function cleanText(text: string, maxLength: number): string {
  return cutText(text, maxLength).replaceAll('\0', '\ufffd').toWellFormed();
}

function cutText(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`;
}

const CLEAN_STRING_MAX = 256 * 1024;

/** The same for every string and key of a JSON value. */
export function cleanJson(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value, CLEAN_STRING_MAX);
  if (Array.isArray(value)) return value.map(cleanJson);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        cleanText(key, CLEAN_STRING_MAX),
        cleanJson(inner),
      ]),
    );
  }
  return value;
}
