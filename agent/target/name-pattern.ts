/**
 * Whether a name fits a pattern of `*` and `?`, and of sets such as `[a-c]` where `hasSets` says so (glob(7)). Patterns
 * are text of a disk: the time is bounded by the product of both lengths, however many `*` there are.
 */
export function fitsPattern(pattern: string, name: string, hasSets = false): boolean {
  const parts = pattern.match(hasSets ? /\[[^[\]]+\]|./gsu : /./gsu) ?? [];
  const letters = name.match(/./gsu) ?? [];
  let [part, letter] = [0, 0];
  /** What the last `*` may take one letter more of. */
  let again: { part: number; letter: number } | null = null;
  while (letter < letters.length) {
    if (parts[part] === '*') again = { part: ++part, letter };
    else if (part < parts.length && fits(parts[part]!, letters[letter]!))
      [part, letter] = [part + 1, letter + 1];
    else if (again === null) return false;
    else [part, letter] = [again.part, ++again.letter];
  }
  return parts.slice(part).every((rest) => rest === '*');
}

function fits(part: string, letter: string): boolean {
  if (part === '?' || part === letter) return true;
  if (part.length === 1 || !part.startsWith('[')) return false;
  const isExcluded = /^\[[!^]/.test(part);
  const members = part.slice(isExcluded ? 2 : 1, -1).match(/./gsu) ?? [];
  const isMember = members.some((from, at) => {
    const isRange = members[at + 1] === '-' && members[at + 2] !== undefined;
    return letter === from || (isRange && from <= letter && letter <= members[at + 2]!);
  });
  return isMember !== isExcluded;
}
