import { DomainError } from '../domain-error.ts';

const SUFFIX_MIN = 4;

/**
 * What a person calls something: its name, its id, or the end of its id. Stores select every row that may
 * be meant, with `where id::text = $text or name = $text or id::text like $suffix`, at most `limit` of
 * them, and `pickReferenced` decides.
 */
export function referenceValues(reference: string): { text: string; suffix: string | null } {
  const isSuffix = reference.length >= SUFFIX_MIN && /^[0-9a-f-]+$/.test(reference);
  return { text: reference, suffix: isSuffix ? `%${reference}` : null };
}

/** Enough rows to see that a reference is ambiguous, and to say with what. */
export const REFERENCE_LIMIT = 5;

/**
 * The row that was meant: the id comes before the name, the name before the end of an id.
 *
 * @param kind what it is, as people say it; the codes are `<kind>_not_found` and `<kind>_ambiguous`
 */
export function pickReferenced<T extends { id: string; name?: string }>(
  candidates: readonly T[],
  reference: string,
  kind: string,
): T {
  const exact = candidates.filter((row) => row.id === reference);
  const named = candidates.filter((row) => row.name === reference);
  const meant = [exact, named, candidates].find((rows) => rows.length > 0) ?? [];
  const [only, ...others] = meant;
  if (only === undefined) {
    throw new DomainError(
      'not_found',
      `${kind}_not_found`,
      `There is no ${kind} "${asTyped(kind, reference)}".${nameHint(kind, reference)}`,
    );
  }
  if (others.length > 0) {
    throw new DomainError(
      'conflict',
      `${kind}_ambiguous`,
      `"${reference}" may be any of ${meant.map((row) => row.id).join(', ')}.`,
    );
  }
  return only;
}

/** The number of a case is no name of a job. */
function nameHint(kind: string, reference: string): string {
  if (kind !== 'job' || !/^\d{1,9}$/.test(reference)) return '';
  return ` Those of ${reference} are called ${reference}/1, ${reference}/2 and so on.`;
}

const letters: Record<string, string> = { grant: 'G', credential: 'C' };

/** Paths of the interface carry `1042.3`, `311` and `101` for what people call `1042/3`, `G-311` and `C-101`. */
function asTyped(kind: string, reference: string): string {
  if (kind === 'job') return reference.replace(/^(\d+)\.(\d+)$/, '$1/$2');
  const letter = letters[kind];
  return letter !== undefined && /^\d+$/.test(reference) ? `${letter}-${reference}` : reference;
}
