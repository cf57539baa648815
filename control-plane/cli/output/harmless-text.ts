/**
 * Characters that do something to a terminal or to the order of text instead of being seen: control
 * characters (Cc), format characters such as bidirectional and zero-width ones (Cf), and the line and
 * paragraph separators (Zl, Zp).
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text from anywhere, made safe to print within one line: what cannot be seen is shown as ⟦U+XXXX⟧. */
export function harmless(text: string): string {
  return text.replace(UNSEEN, showCodePoint);
}

export function showCodePoint(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return `⟦U+${code.toString(16).toUpperCase().padStart(4, '0')}⟧`;
}

/** JSON with nothing unseen in it: the same value, every such character written as an escape. */
export function harmlessJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(UNSEEN, (character) =>
    character === '\n' ? character : escapeUnits(character),
  );
}

function escapeUnits(character: string): string {
  let escaped = '';
  for (let at = 0; at < character.length; at++) {
    escaped += `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return escaped;
}
