import type { RestoreSshParameters } from '../../../../proto/actions/access.ts';
import { ActionError } from '../../../runner/action.ts';
import type { ConfigDraft, Directive } from './config-draft.ts';
import { parseLine } from './config-draft.ts';
import { meantKeyword, strictValueOf } from './keywords.ts';
import type { SshdSaid } from './sshd-trial.ts';

const MOST_LINES = 50;
const LISTS_OF_USERS = new Set(['allowusers', 'denyusers']);
/** A pattern of sshd_config(5) that no name fits. */
const NOBODY = '!*';

export interface FixedConfig {
  draft: ConfigDraft;
  /** What was wrong, line by line. */
  findings: string[];
  /** What sshd says when it does not take the configuration for a reason that no line of it is. */
  left: string | null;
}

/**
 * Mends the lines that sshd stumbles over, one after the other, until it reads the configuration. A keyword
 * that is mistyped is written right, and a wrong value becomes the strictest where sshd's default lets in more,
 * since leaving the line out could open what it was to close; of a list of users only the pattern that sshd
 * names is taken out. Any other line is made a comment, and a Match line with all that stands under it.
 *
 * @param check how sshd likes a draft
 */
export async function fixConfig(
  original: ConfigDraft,
  { passwords }: Pick<RestoreSshParameters, 'passwords'>,
  check: (draft: ConfigDraft) => Promise<SshdSaid>,
): Promise<FixedConfig> {
  let draft = original;
  const findings: string[] = [];
  for (let count = 0; count < MOST_LINES; count++) {
    const { passed, said } = await check(draft);
    if (passed) return { draft, findings, left: null };
    const place = placeOf(said, draft);
    if (place === null) return { draft, findings, left: said.trim().slice(0, 400) };
    const meant = await corrected(draft, place, passwords, check);
    const fixed = meant ?? withoutPattern(draft, place, said) ?? withoutLine(draft, place);
    const now = fixed.line(place)!.trim();
    const file = `line ${place.line + 1} of ${place.file}`;
    const why = complaintOf(said, place);
    findings.push(`${file}: ${why} It becomes: ${now}`.slice(0, 500));
    draft = fixed;
  }
  throw new ActionError('config_beyond_repair', `over ${MOST_LINES} lines of it are wrong`);
}

/** Both ways in which sshd names a line: `FILE: line N:` and `FILE line N:`. */
function placeOf(said: string, draft: ConfigDraft): Pick<Directive, 'file' | 'line'> | null {
  for (const [, file = '', number = ''] of said.matchAll(/(?<!\S)(\/\S+?):? line (\d+)/g)) {
    const place = { file, line: Number(number) - 1 };
    const text = draft.line(place);
    if (text !== undefined && parseLine(text).keyword !== '') return place;
  }
  return null;
}

function complaintOf(said: string, { file, line }: Pick<Directive, 'file' | 'line'>): string {
  const own = said
    .split('\n')
    .find((one) => one.includes(file) && one.includes(`line ${line + 1}`));
  const words = (own ?? said).replace(/^.*? line \d+:? */, '').trim();
  return `${words.slice(0, 200)}${/[.!]$/.test(words) ? '' : '.'}`;
}

/** With the keyword that was meant, or else its strictest value, if sshd then complains no more of this line. */
async function corrected(
  draft: ConfigDraft,
  place: Pick<Directive, 'file' | 'line'>,
  passwords: boolean,
  check: (draft: ConfigDraft) => Promise<SshdSaid>,
): Promise<ConfigDraft | null> {
  const [, indent = '', word = '', rest = ''] =
    /^(\s*)([A-Za-z0-9]+)(.*)$/s.exec(draft.line(place)!) ?? [];
  const meant = meantKeyword(word);
  if (meant === null) return null;
  const isTypo = meant.toLowerCase() !== word.toLowerCase();
  const strict = strictValueOf(meant, passwords);
  const texts = [
    ...(isTypo ? [`${indent}${meant}${rest}`] : []),
    ...(strict === null ? [] : [`${indent}${isTypo ? meant : word} ${strict}`]),
  ];
  for (const text of texts) {
    const changed = draft.with(place, text);
    const { passed, said } = await check(changed);
    if (passed) return changed;
    const next = placeOf(said, changed);
    if (next?.file !== place.file || next.line !== place.line) return changed;
  }
  return null;
}

/** A list without the pattern that sshd complains of; one that admits nobody where it admitted no others. */
function withoutPattern(
  draft: ConfigDraft,
  place: Pick<Directive, 'file' | 'line'>,
  said: string,
): ConfigDraft | null {
  const text = draft.line(place)!;
  const [, start = '', keyword = '', rest = ''] = /^(\s*(\w+)\s+)(.*)$/s.exec(text) ?? [];
  if (!LISTS_OF_USERS.has(keyword.toLowerCase())) return null;
  const words = rest.trim().split(/\s+/);
  const left = words.filter((word) => !said.includes(`"${word}"`));
  if (left.length === words.length) return null;
  if (left.length > 0) return draft.with(place, start + left.join(' '));
  return keyword.toLowerCase() === 'allowusers' ? draft.with(place, start + NOBODY) : null;
}

function withoutLine(draft: ConfigDraft, place: Pick<Directive, 'file' | 'line'>): ConfigDraft {
  const without = draft.with(place, null);
  if (parseLine(draft.line(place)!).keyword !== 'match') return without;
  const lines = draft
    .directives()
    .filter(({ file, line }) => file === place.file && line > place.line);
  const end = lines.findIndex(({ keyword }) => keyword === 'match');
  return lines
    .slice(0, end < 0 ? undefined : end)
    .reduce((changed, one) => changed.with(one, null), without);
}
