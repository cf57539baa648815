import { ActionError } from '../../runner/action.ts';
import type { TargetRoot } from '../../target/target-root.ts';
import { readState } from '../files/file-state.ts';

/**
 * A file of entries, a line each, fields parted by colons: passwd(5), shadow(5), group(5). Byte for byte
 * what it was but for the lines that are changed; bytes that are no text stay what they are.
 */
export class DatabaseLines {
  readonly path: string;
  private readonly lines: readonly string[];

  constructor(path: string, text: string) {
    this.path = path;
    this.lines = text.split('\n');
  }

  /** Null when it is not there. Throws ActionError for what is no plain file, or too long for one. */
  static async read(root: TargetRoot, path: string): Promise<DatabaseLines | null> {
    const state = await readState(root, path);
    return state === null ? null : new DatabaseLines(path, state.bytes.toString('latin1'));
  }

  get text(): string {
    return this.lines.join('\n');
  }

  get bytes(): Buffer {
    return Buffer.from(this.text, 'latin1');
  }

  /** Fields of the first entry of a name, as the system itself looks it up; null when there is none. */
  entry(name: string): string[] | null {
    return this.lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? null;
  }

  /** With other fields in that entry, which must be there. */
  with(name: string, fields: readonly string[]): DatabaseLines {
    const at = this.lines.findIndex((line) => line.startsWith(`${name}:`));
    if (at < 0) throw new ActionError('user_not_found', `${this.path} has no entry ${name}`);
    return this.withLine(at, fields.join(':'));
  }

  withLine(at: number, line: string): DatabaseLines {
    return new DatabaseLines(this.path, this.lines.with(at, line).join('\n'));
  }

  /** With an entry more, at the end. */
  withAdded(fields: readonly string[]): DatabaseLines {
    const text = this.text === '' || this.text.endsWith('\n') ? this.text : `${this.text}\n`;
    return new DatabaseLines(this.path, `${text}${fields.join(':')}\n`);
  }

  /** Number of each line from 0 on, with its text; empty ones are left out. */
  entries(): [at: number, line: string][] {
    return [...this.lines.entries()].filter(([, line]) => line.trim() !== '');
  }
}

/** For plans: shadow(5) with every hash of a password put aside, so that nobody can try passwords on it. */
export function withoutHashes(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const fields = line.split(':');
      const secret = fields[1];
      if (secret !== undefined && !isMarker(secret))
        fields[1] = secret.startsWith('!') ? '!(hash)' : '(hash)';
      return fields.join(':');
    })
    .join('\n');
}

/** What stands for no password at all, or for the hash that a plan does not know yet. */
function isMarker(field: string): boolean {
  return /^(?:[!*]{0,2}|x|\(new hash[^)]*\))$/.test(field);
}
