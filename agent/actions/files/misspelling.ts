const ERRORS_MAX = 4;

/**
 * Corrects one misspelt word after the other until a checker finds no fault.
 *
 * @param firstError number of the first line, from 1, that the checker complains about; null when it takes the text
 * @returns null when a fault is left that no single word explains
 */
export async function correctMisspellings(
  text: string,
  known: readonly string[],
  firstError: (text: string) => Promise<number | null>,
): Promise<string | null> {
  let best = text;
  let line = await firstError(best);
  for (let errors = 0; line !== null && errors < ERRORS_MAX; errors++) {
    const at = line;
    // Right is what brings the checker past this line.
    const better = await correctMisspelling(best, at, known, async (candidate) => {
      const again = await firstError(candidate);
      return again === null || again > at;
    });
    if (better === null) return null;
    best = better;
    line = await firstError(best);
  }
  return line === null ? best : null;
}

/**
 * A word of one line is replaced by a known one that differs in a single letter (one more, one less, another one, or
 * two that changed places), where exactly one such text is right.
 *
 * @param line number of the line, from 1, that a checker complains about
 * @param known words that may stand there
 * @param isRight asks the checker about a whole text
 * @returns the corrected text; null when none is right, or more than one
 */
export async function correctMisspelling(
  text: string,
  line: number,
  known: readonly string[],
  isRight: (text: string) => Promise<boolean>,
): Promise<string | null> {
  const lines = text.split('\n');
  const before = lines[line - 1];
  if (before === undefined) return null;
  const right: string[] = [];
  for (const candidate of new Set(spellings(before, known))) {
    const corrected = lines.with(line - 1, candidate).join('\n');
    if (await isRight(corrected)) right.push(corrected);
  }
  return right.length === 1 ? right[0]! : null;
}

/** The line with one word of it corrected, in every way. */
function spellings(line: string, known: readonly string[]): string[] {
  return [...line.matchAll(/[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*/g)].flatMap(({ 0: word, index }) =>
    known.includes(word)
      ? []
      : known
          .filter((other) => differsInOneLetter(word, other))
          .map((other) => line.slice(0, index) + other + line.slice(index + word.length)),
  );
}

/** Optimal string alignment distance 1. */
export function differsInOneLetter(one: string, other: string): boolean {
  if (one === other || Math.abs(one.length - other.length) > 1) return false;
  let start = 0;
  while (start < one.length && one[start] === other[start]) start++;
  const rest = (word: string, skipped: number) => word.slice(start + skipped);
  return (
    rest(one, 1) === rest(other, 1) ||
    rest(one, 1) === rest(other, 0) ||
    rest(one, 0) === rest(other, 1) ||
    (one[start] === other[start + 1] &&
      one[start + 1] === other[start] &&
      rest(one, 2) === rest(other, 2))
  );
}
