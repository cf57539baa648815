/** Thrown for JSON that a strict reader refuses; `message` says what and where. */
export class StrictJsonError extends Error {
  override name = 'StrictJsonError';
}

export interface StrictJsonLimits {
  bytes: number;
  depth: number;
}

export const documentLimits: StrictJsonLimits = { bytes: 64 * 1024, depth: 8 };

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const INTEGER = /^-?(?:0|[1-9]\d*)$/;

/**
 * Parses UTF-8 JSON (RFC 8259) and refuses what different parsers read differently: invalid UTF-8, a
 * byte-order mark, duplicate keys, `__proto__`, lone surrogates, numbers that are not integers below
 * 2^53, and anything over the limits. `JSON.parse` accepts all of these.
 */
export function parseStrictJson(
  bytes: Uint8Array,
  limits: StrictJsonLimits = documentLimits,
): unknown {
  if (bytes.byteLength > limits.bytes) {
    throw new StrictJsonError(`${bytes.byteLength} bytes, at most ${limits.bytes} are allowed`);
  }
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StrictJsonError('not valid UTF-8');
  }
  return new Parser(text, limits.depth).document();
}

class Parser {
  private position = 0;
  private readonly text: string;
  private readonly maxDepth: number;

  constructor(text: string, maxDepth: number) {
    this.text = text;
    this.maxDepth = maxDepth;
  }

  document(): unknown {
    const value = this.value(0);
    this.space();
    if (this.position !== this.text.length) throw this.error('text after the document');
    return value;
  }

  private value(depth: number): unknown {
    this.space();
    switch (this.text[this.position]) {
      case '{':
        return this.object(depth + 1);
      case '[':
        return this.array(depth + 1);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  private object(depth: number): Record<string, unknown> {
    this.enter(depth);
    const result: Record<string, unknown> = {};
    if (this.next() === '}') return this.skip(result);
    for (;;) {
      if (this.next() !== '"') throw this.error('a key was expected');
      const key = this.string();
      if (key === '__proto__') throw this.error('the key __proto__ is not allowed');
      if (Object.hasOwn(result, key)) throw this.error(`duplicate key ${JSON.stringify(key)}`);
      if (this.next() !== ':') throw this.error('":" was expected');
      this.position++;
      result[key] = this.value(depth);
      const after = this.next();
      if (after === '}') return this.skip(result);
      if (after !== ',') throw this.error('"," or "}" was expected');
      this.position++;
    }
  }

  private array(depth: number): unknown[] {
    this.enter(depth);
    const result: unknown[] = [];
    if (this.next() === ']') return this.skip(result);
    for (;;) {
      result.push(this.value(depth));
      const after = this.next();
      if (after === ']') return this.skip(result);
      if (after !== ',') throw this.error('"," or "]" was expected');
      this.position++;
    }
  }

  private string(): string {
    const start = this.position;
    let end = start;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end === -1) throw this.error('a string does not end');
    } while (this.isEscaped(end));
    this.position = end + 1;
    let value: string;
    try {
      value = JSON.parse(this.text.slice(start, this.position)) as string;
    } catch {
      throw this.error('a malformed string');
    }
    if (!value.isWellFormed()) throw this.error('a lone surrogate');
    return value;
  }

  /** Whether an odd number of backslashes stands before this place. */
  private isEscaped(place: number): boolean {
    let first = place;
    while (this.text.charCodeAt(first - 1) === 0x5c) first--;
    return (place - first) % 2 === 1;
  }

  private number(): number {
    NUMBER.lastIndex = this.position;
    const match = NUMBER.exec(this.text)?.[0];
    if (match === undefined) throw this.error('a value was expected');
    if (!INTEGER.test(match)) throw this.error(`${match.slice(0, 40)} is not an integer`);
    const value = Number(match);
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw this.error(`${match.slice(0, 40)} is out of range`);
    }
    this.position += match.length;
    return value;
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) throw this.error('a value was expected');
    this.position += word.length;
    return value;
  }

  private enter(depth: number): void {
    if (depth > this.maxDepth) throw this.error(`deeper than ${this.maxDepth} levels`);
    this.position++;
  }

  private next(): string | undefined {
    this.space();
    return this.text[this.position];
  }

  private skip<T>(value: T): T {
    this.position++;
    return value;
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.position++;
    }
  }

  private error(what: string): StrictJsonError {
    return new StrictJsonError(`${what}, at character ${this.position}`);
  }
}
