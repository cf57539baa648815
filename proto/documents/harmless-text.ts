/**
 * Characters that do something to a terminal or to the order of text instead of being seen: control
 * characters (Cc), format characters such as bidirectional and zero-width ones (Cf), and the line and
 * paragraph separators (Zl, Zp).
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** Of them, what does not belong into text of several lines: a format character may be part of how it is written. */
const CONTROL_IN_LINES = /\r(?!\n)|[^\P{Cc}\t\r\n]/u;

/** Text from anywhere, made safe to print within one line: what cannot be seen is shown as ⟦U+XXXX⟧. */
export function harmless(text: string): string {
  return replaceUnseen(text, showCodePoint);
}

export function replaceUnseen(text: string, by: (character: string) => string): string {
  return text.replace(UNSEEN, (character) => by(character));
}

/** JSON with nothing unseen in it: the same value, every such character written as an escape. */
export function harmlessJson(value: unknown, indent?: number): string {
  return replaceUnseen(JSON.stringify(value, null, indent), (character) =>
    character === '\n' ? character : escapeUnits(character),
  );
}

/** The first character of a line that cannot be seen, as `U+001B`; null where all can. */
export function firstUnseen(line: string): string | null {
  const [found] = line.match(UNSEEN) ?? [];
  return found === undefined ? null : codePointOf(found);
}

/** The first control character, other than tabs and ends of lines, of what people write over several lines. */
export function firstControl(lines: string): string | null {
  const [found] = CONTROL_IN_LINES.exec(lines) ?? [];
  return found === undefined ? null : codePointOf(found);
}

function showCodePoint(character: string): string {
  return `⟦${codePointOf(character)}⟧`;
}

function codePointOf(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}

function escapeUnits(character: string): string {
  let escaped = '';
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
