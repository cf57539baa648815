const FARTHEST = 2;

/** The one word that a mistyped one is nearest to; null where none is near, or several are. */
export function nearestWord(word: string, known: Iterable<string>): string | null {
  if (word.length <= 2 * FARTHEST) return null;
  const near = [...known].map((one) => ({
    one,
    distance: distanceOf(word.toLowerCase(), one.toLowerCase()),
  }));
  const least = Math.min(...near.map(({ distance }) => distance));
  const best = near.filter(({ distance }) => distance === least);
  return least <= FARTHEST && best.length === 1 ? best[0]!.one : null;
}

/** Letters to insert, leave out, replace or swap with the next (Damerau and Levenshtein). */
function distanceOf(one: string, other: string): number {
  const rows = [Array.from({ length: other.length + 1 }, (_, at) => at)];
  for (let at = 1; at <= one.length; at++) {
    const [above, row] = [rows[at - 1]!, [at]];
    for (let place = 1; place <= other.length; place++) {
      const isSame = one[at - 1] === other[place - 1];
      const isSwapped = one[at - 1] === other[place - 2] && one[at - 2] === other[place - 1];
      row.push(
        Math.min(
          above[place - 1]! + (isSame ? 0 : 1),
          above[place]! + 1,
          row[place - 1]! + 1,
          isSwapped && at > 1 && place > 1 ? rows[at - 2]![place - 2]! + 1 : Infinity,
        ),
      );
    }
    rows.push(row);
  }
  return rows.at(-1)!.at(-1)!;
}
