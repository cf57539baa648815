const CONTEXT_LINES = 3;
/** Beyond it lines are compared in place only; the diff is then longer, not wrong. */
const MAX_TABLE = 4_000_000;

type Edit = readonly [sign: ' ' | '-' | '+', line: string];

/**
 * The difference of two texts as `diff -u` writes it, with `a/` and `b/` before the path. A text that is
 * null is a file that is not there. Empty when they are the same.
 */
export function unifiedDiff(path: string, before: string | null, after: string | null): string {
  if (before === after) return '';
  const edits = compare(linesOf(before), linesOf(after));
  const head = [
    `--- ${before === null ? '/dev/null' : `a${path}`}`,
    `+++ ${after === null ? '/dev/null' : `b${path}`}`,
  ];
  return [...head, ...hunksOf(edits).flatMap((hunk) => hunkLines(edits, hunk)), ''].join('\n');
}

/** Each line with its end, so that a last line without one differs from one with it. */
function linesOf(text: string | null): string[] {
  return text === null || text === '' ? [] : text.split(/(?<=\n)/);
}

/** By the longest common subsequence of what lies between equal beginnings and ends. */
function compare(before: readonly string[], after: readonly string[]): Edit[] {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start++;
  let end = 0;
  const most = Math.min(before.length, after.length) - start;
  while (end < most && before.at(-1 - end) === after.at(-1 - end)) end++;
  const same = (line: string): Edit => [' ', line];
  return [
    ...before.slice(0, start).map(same),
    ...middle(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(same),
  ];
}

function middle(before: readonly string[], after: readonly string[]): Edit[] {
  const width = after.length + 1;
  if ((before.length + 1) * width > MAX_TABLE) {
    return [...before.map((line): Edit => ['-', line]), ...after.map((line): Edit => ['+', line])];
  }
  const common = new Uint32Array((before.length + 1) * width);
  for (let row = before.length - 1; row >= 0; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      common[row * width + column] =
        before[row] === after[column]
          ? common[(row + 1) * width + column + 1]! + 1
          : Math.max(common[(row + 1) * width + column]!, common[row * width + column + 1]!);
    }
  }
  const edits: Edit[] = [];
  let row = 0;
  let column = 0;
  while (row < before.length || column < after.length) {
    if (row < before.length && column < after.length && before[row] === after[column]) {
      edits.push([' ', before[row++]!]);
      column++;
    } else if (
      row < before.length &&
      (column === after.length ||
        common[(row + 1) * width + column]! >= common[row * width + column + 1]!)
    ) {
      edits.push(['-', before[row++]!]);
    } else {
      edits.push(['+', after[column++]!]);
    }
  }
  return edits;
}

/** Ranges of edits, each a change with its context; those that touch are one. */
function hunksOf(edits: readonly Edit[]): [start: number, end: number][] {
  const hunks: [number, number][] = [];
  for (const [at, [sign]] of edits.entries()) {
    if (sign === ' ') continue;
    const start = Math.max(0, at - CONTEXT_LINES);
    const end = Math.min(edits.length, at + CONTEXT_LINES + 1);
    const last = hunks.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = end;
    else hunks.push([start, end]);
  }
  return hunks;
}

function hunkLines(edits: readonly Edit[], [start, end]: readonly [number, number]): string[] {
  const count = (slice: readonly Edit[], without: '-' | '+') =>
    slice.filter(([sign]) => sign !== without).length;
  const ahead = edits.slice(0, start);
  const own = edits.slice(start, end);
  const range = (without: '-' | '+') => {
    const lines = count(own, without);
    const first = count(ahead, without) + (lines === 0 ? 0 : 1);
    return lines === 1 ? String(first) : `${first},${lines}`;
  };
  return [
    `@@ -${range('+')} +${range('-')} @@`,
    ...own.flatMap(([sign, line]) =>
      line.endsWith('\n')
        ? [sign + line.slice(0, -1)]
        : [sign + line, String.raw`\ No newline at end of file`],
    ),
  ];
}
