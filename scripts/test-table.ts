import { readFileSync } from 'node:fs';

/** How one part of the test suite went, with all its rows. */
export interface PartResult {
  name: string;
  passed: number;
  failed: number;
  skipped: number;
  seconds: number;
  /** Short hash of the tested commit, with `+` where the tree held more. */
  commit: string;
  /** Names of the tests that failed, or passed on their second try only. */
  notes: string[];
}

const ROW = /^\| (\w+) +\| +(\d+) +\| +(\d+) +\| +(\d+) +\| +(\d+) +\| `([^`]+)` +\|(.*)\|$/;

/** Backslashes before what Markdown would read as markup. */
const ESCAPED = /\\(?=[<`*_])/g;

/** The results that a page of {@link testPage} holds; none where there is no such page. */
export function readTestPage(file: string): PartResult[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
    const [, name, passed, failed, skipped, seconds, commit, notes] = ROW.exec(line) ?? [];
    if (name === undefined) return [];
    const words = notes!.trim();
    return {
      name,
      passed: Number(passed),
      failed: Number(failed),
      skipped: Number(skipped),
      seconds: Number(seconds),
      commit: commit!,
      notes: words === '' ? [] : words.replaceAll(ESCAPED, '').split('; '),
    };
  });
}

/** The page of what every part came to when it last ran with `--all`. */
export function testPage(results: readonly PartResult[], machine: string): string {
  const sum = (of: 'passed' | 'failed' | 'skipped' | 'seconds') =>
    results.reduce((total, result) => total + result[of], 0);
  return [
    '# What `scripts/test --all` came to',
    '',
    `Each part as it last ran with all its rows, on ${machine}: ${sum('passed')} passed, ${sum('failed')} failed, ` +
      `${sum('skipped')} skipped, in ${Math.round(sum('seconds') / 60)} minutes.`,
    '',
    '| part | passed | failed | skipped | s | commit | failed, or passed on a second try |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...results.map(
      (result) =>
        `| ${result.name} | ${result.passed} | ${result.failed} | ${result.skipped} | ${Math.round(result.seconds)} ` +
        `| \`${result.commit}\` | ${result.notes.map(cell).join('; ')} |`,
    ),
    '',
  ].join('\n');
}

function cell(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll('|', '/')
    .replaceAll('; ', ', ')
    .replaceAll(/[<`*_]/g, String.raw`\$&`)
    .slice(0, 200);
}
