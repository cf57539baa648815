import { DocumentError, readKind, readUnverified } from '../../proto/documents/document.ts';
import { firstControl, firstUnseen } from '../../proto/documents/harmless-text.ts';

/** Fields that people write over several lines; every other text stands in one. */
const MANY_LINES = new Set(['description', 'reason', 'shownText', 'ticketWords', 'whyNotSigned']);
/** What actions are given: programs and files may want any character. */
const FOR_ACTIONS = 'parameters';

export interface Unshowable {
  path: string[];
  why: string;
}

/**
 * The first text in what was sent that cannot be stored, or would do something to the terminal or page of whoever
 * reads it; null where there is none.
 */
export function findUnshowable(value: unknown, path: string[] = []): Unshowable | null {
  if (typeof value === 'string') {
    const why = whyUnshowable(value, MANY_LINES.has(path.at(-1) ?? ''));
    return why === null ? null : { path, why };
  }
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return null;
  for (const [key, inner] of Object.entries(value)) {
    if (key === FOR_ACTIONS) continue;
    const found = findUnshowable(key, path) ?? findUnshowable(inner, [...path, key]);
    if (found !== null) return found;
  }
  return null;
}

/** The same for the payload of an envelope; null for what is no document, which its reader refuses. */
export function findUnshowableInDocument(envelope: Uint8Array): Unshowable | null {
  try {
    const kind = readKind(envelope);
    return kind === undefined ? null : findUnshowable(readUnverified(kind, envelope).payload);
  } catch (error) {
    if (error instanceof DocumentError) return null;
    throw error;
  }
}

function whyUnshowable(text: string, hasLines: boolean): string | null {
  if (text.includes('\0') || !text.isWellFormed()) {
    return 'a text holds a NUL character or half a surrogate pair';
  }
  const unseen = hasLines ? firstControl(text) : firstUnseen(text);
  return unseen === null ? null : `holds ${unseen}, which cannot be seen: write it without`;
}
