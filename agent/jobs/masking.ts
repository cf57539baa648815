/** What stands in the log where a secret stood. */
export const MASK = Buffer.from('•••', 'utf8');
const LINE_MIN_CHARACTERS = 4;

/**
 * What must not appear in the log: each secret, and each of its lines, because programs print files line
 * by line. Shorter lines are left out: masking "a" or "on" would only destroy the log.
 */
export function maskedStrings(secrets: Iterable<string>): string[] {
  const strings = new Set<string>();
  for (const secret of secrets) {
    for (const line of [secret, ...secret.split(/\r?\n/)]) {
      if (line.length >= LINE_MIN_CHARACTERS) strings.add(line);
    }
  }
  return [...strings];
}

/** Masks whole texts, for messages that do not come in pieces. */
export function maskText(text: string, strings: readonly string[]): string {
  if (strings.length === 0) return text;
  const masker = new Masker(strings);
  const masked = masker.push(Buffer.from(text, 'utf8'));
  return Buffer.concat([masked, masker.flush()]).toString('utf8');
}

/** Masks every string inside a JSON value, keys included. */
export function maskJson<T>(value: T, strings: readonly string[]): T {
  if (strings.length === 0) return value;
  if (typeof value === 'string') return maskText(value, strings) as T;
  if (Array.isArray(value)) return value.map((item: unknown) => maskJson(item, strings)) as T;
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [
        maskText(key, strings),
        maskJson(item as unknown, strings),
      ]),
    ) as T;
  }
  return value;
}

/**
 * Replaces known strings in a byte stream, also where pieces meet. At each place the longest string
 * wins. Holds back only bytes that may begin a string, so that output stays live.
 */
export class Masker {
  private needles: Buffer[] = [];
  private held: Buffer = Buffer.alloc(0);

  constructor(strings: readonly string[]) {
    this.add(strings);
  }

  /** From now on these are replaced too. What was shown before is out. */
  add(strings: readonly string[]): void {
    const needles = strings.map((string) => Buffer.from(string, 'utf8'));
    this.needles = [...this.needles, ...needles]
      .filter((needle) => needle.length > 0)
      .sort((a, b) => b.length - a.length);
  }

  /** Returns what may be shown by now. */
  push(bytes: Buffer): Buffer {
    if (this.needles.length === 0) return bytes;
    const data = this.held.length === 0 ? bytes : Buffer.concat([this.held, bytes]);
    return this.scan(data, false);
  }

  /** The stream has ended: returns what was held back. */
  flush(): Buffer {
    const data = this.held;
    this.held = Buffer.alloc(0);
    return this.scan(data, true);
  }

  private scan(data: Buffer, isEnd: boolean): Buffer {
    const parts: Buffer[] = [];
    const next = this.needles.map((needle) => position(data.indexOf(needle)));
    let open = isEnd ? data.length : this.firstOpenEnd(data, 0);
    let at = 0;
    for (;;) {
      const match = this.firstMatch(data, at, next);
      // At `open` a string may begin that is not here in full; it may also be longer than the match.
      if (open <= match.start) break;
      parts.push(data.subarray(at, match.start), MASK);
      at = match.start + match.length;
      if (open < at) open = this.firstOpenEnd(data, at);
    }
    parts.push(data.subarray(at, open));
    this.held = Buffer.from(data.subarray(open));
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** The earliest string at or after `from`, the longest of those that begin there. */
  private firstMatch(data: Buffer, from: number, next: number[]): Match {
    let found: Match = { start: Infinity, length: 0 };
    for (const [index, needle] of this.needles.entries()) {
      if (next[index]! < from) next[index] = position(data.indexOf(needle, from));
      const start = next[index]!;
      if (start < found.start) found = { start, length: needle.length };
    }
    return found;
  }

  /** The earliest place from which the rest of the data is a proper beginning of a string. */
  private firstOpenEnd(data: Buffer, from: number): number {
    let earliest = data.length;
    for (const needle of this.needles) {
      const first = needle[0]!;
      let at = data.indexOf(first, Math.max(from, data.length - needle.length + 1));
      while (at !== -1 && at < earliest) {
        if (data.compare(needle, 0, data.length - at, at) === 0) earliest = at;
        else at = data.indexOf(first, at + 1);
      }
    }
    return earliest;
  }
}

interface Match {
  start: number;
  length: number;
}

function position(index: number): number {
  return index === -1 ? Infinity : index;
}
