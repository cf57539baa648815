/**
 * Compares two versions as dpkg does (deb-version(7)): below, above or 0. Never throws: what is no version is
 * compared by the same rules.
 */
export function compareVersions(one: string, other: string): number {
  const [a, b] = [partsOf(one), partsOf(other)];
  return (
    a.epoch - b.epoch ||
    compareTexts(a.upstream, b.upstream) ||
    compareTexts(a.revision, b.revision)
  );
}

/** Whether `installed` fulfils a relation such as `>= 2.36`. */
export function fulfils(installed: string, relation: string, wanted: string): boolean {
  const order = compareVersions(installed, wanted);
  switch (relation) {
    case '<<':
      return order < 0;
    case '<':
    case '<=':
      return order <= 0;
    case '=':
      return order === 0;
    case '>':
    case '>=':
      return order >= 0;
    case '>>':
      return order > 0;
    default:
      return false;
  }
}

function partsOf(version: string): { epoch: number; upstream: string; revision: string } {
  const [, epoch = '0', rest = ''] = /^(?:(\d+):)?(.*)$/s.exec(version) ?? [];
  const dash = rest.lastIndexOf('-');
  return {
    epoch: Number(epoch),
    upstream: dash === -1 ? rest : rest.slice(0, dash),
    revision: dash === -1 ? '' : rest.slice(dash + 1),
  };
}

/** Words and numbers in turn; `~` sorts before everything, also before the end. */
function compareTexts(one: string, other: string): number {
  const [a, b] = [piecesOf(one), piecesOf(other)];
  for (let at = 0; at < Math.max(a.length, b.length); at++) {
    const [left, right] = [a[at] ?? '', b[at] ?? ''];
    const order = at % 2 === 0 ? compareWords(left, right) : Number(left) - Number(right);
    if (order !== 0) return order;
  }
  return 0;
}

/** Word, number, word, number, ..., each perhaps empty. */
function piecesOf(text: string): string[] {
  return [...text.matchAll(/(\D*)(\d*)/g)].flatMap(([, word, number]) => [word!, number!]);
}

function compareWords(one: string, other: string): number {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const order = weightOf(one[at]) - weightOf(other[at]);
    if (order !== 0) return order;
  }
  return 0;
}

function weightOf(letter: string | undefined): number {
  if (letter === '~') return -1;
  if (letter === undefined) return 0;
  return /[A-Za-z]/.test(letter) ? letter.charCodeAt(0) : letter.charCodeAt(0) + 256;
}
