import { posix } from 'node:path';
import { ActionError } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { SSHD_CONFIG } from '../../diagnostics/ssh/sshd-settings.ts';
import type { Change } from '../../files/change-steps.ts';
import { readState } from '../../files/file-state.ts';
import { fitsPattern } from '../../../target/name-pattern.ts';

const SSH_FOLDER = '/etc/ssh';
const DEPTH_MAX = 16;
const FILES_MAX = 200;
const LINKED_MAX_BYTES = 256 * 1024;

/** One line of the configuration that says something. */
export interface Directive {
  file: string;
  /** Number of the line, from 0 on. */
  line: number;
  /** In small letters. */
  keyword: string;
  args: string;
  /** The Match line that the line stands under; null for what holds for everybody. */
  match: string | null;
}

/**
 * The configuration of sshd(8) with its included files, as it is and as it is to become. Lines are kept byte
 * for byte but for those that are changed.
 */
export class ConfigDraft {
  private readonly originals: ReadonlyMap<string, string>;
  private readonly files: Map<string, readonly string[]>;

  private constructor(
    originals: ReadonlyMap<string, string>,
    files: Map<string, readonly string[]>,
  ) {
    this.originals = originals;
    this.files = files;
  }

  /** Null where there is no sshd_config. */
  static async read({ files, root }: Target): Promise<ConfigDraft | null> {
    const originals = new Map<string, string>();
    const load = async (path: string, depth: number): Promise<void> => {
      if (originals.has(path) || depth > DEPTH_MAX || originals.size > FILES_MAX) return;
      const text = await readBytes(root, files, path);
      if (text === null) return;
      originals.set(path, text);
      for (const line of text.split('\n')) {
        const { keyword, args } = parseLine(line);
        if (keyword !== 'include') continue;
        for (const found of await expand(files, args)) await load(found, depth + 1);
      }
    };
    await load(SSHD_CONFIG, 0);
    if (!originals.has(SSHD_CONFIG)) return null;
    const lines = [...originals].map(([path, text]) => [path, text.split('\n')] as const);
    return new ConfigDraft(originals, new Map(lines));
  }

  /** With one line changed; null takes it out by making it a comment. */
  with({ file, line }: Pick<Directive, 'file' | 'line'>, text: string | null): ConfigDraft {
    const lines = this.files.get(file)!;
    const changed = lines.with(line, text ?? `#${lines[line]!}`);
    return new ConfigDraft(this.originals, new Map([...this.files, [file, changed]]));
  }

  /** With a line before all others: sshd takes the first value that it reads. */
  withFirst(text: string): ConfigDraft {
    const lines = [text, ...this.files.get(SSHD_CONFIG)!];
    return new ConfigDraft(this.originals, new Map([...this.files, [SSHD_CONFIG, lines]]));
  }

  line({ file, line }: Pick<Directive, 'file' | 'line'>): string | undefined {
    return this.files.get(file)?.[line];
  }

  /** All that is said, file by file, in the order of the lines of each. */
  directives(...keywords: string[]): Directive[] {
    const all: Directive[] = [];
    for (const [file, lines] of this.files) {
      let match: string | null = null;
      for (const [line, text] of lines.entries()) {
        const { keyword, args } = parseLine(text);
        if (keyword === 'match') match = args;
        if (keyword !== '') all.push({ file, line, keyword, args, match });
      }
    }
    return keywords.length === 0 ? all : all.filter(({ keyword }) => keywords.includes(keyword));
  }

  /** Every file, as it is to become. */
  texts(): [path: string, text: string][] {
    return [...this.files].map(([path, lines]) => [path, lines.join('\n')]);
  }

  isChanged(path: string): boolean {
    return this.files.get(path)?.join('\n') !== this.originals.get(path);
  }

  /** Files that are to change. */
  changes(): Change[] {
    return this.texts()
      .filter(([path]) => this.isChanged(path))
      .map(([path, text]) => ({
        kind: 'file',
        path,
        content: Buffer.from(text, 'latin1'),
        mode: 0o644,
        liftsFlags: true,
      }));
  }
}

/** As Latin-1, so that bytes that are no text stay what they are; one behind a symlink cannot be changed. */
async function readBytes(
  root: Target['root'],
  files: Target['files'],
  path: string,
): Promise<string | null> {
  try {
    return (await readState(root, path))?.bytes.toString('latin1') ?? null;
  } catch (error) {
    if (!(error instanceof ActionError)) throw error;
    const text = await files.read(path, LINKED_MAX_BYTES).catch(() => null);
    return text === null ? null : Buffer.from(text).toString('latin1');
  }
}

/** Keyword and arguments as sshd_config(5) parts them; empty for comments. */
export function parseLine(text: string): { keyword: string; args: string } {
  const [, keyword = '', rest = ''] = /^\s*([A-Za-z][A-Za-z0-9]*)((?:[=\s].*)?)$/s.exec(text) ?? [];
  return { keyword: keyword.toLowerCase(), args: rest.replace(/^\s*=?/, '').trim() };
}

/** Files that an Include names, in glob(7)'s order; what is not absolute lies in /etc/ssh. */
async function expand(files: Target['files'], args: string): Promise<string[]> {
  const found: string[] = [];
  for (const word of args.split(/\s+/).map((one) => one.replaceAll('"', ''))) {
    const pattern = posix.resolve(SSH_FOLDER, word);
    const folder = posix.dirname(pattern);
    const name = posix.basename(pattern);
    if (/[*?[]/.test(folder)) continue;
    if (!/[*?[]/.test(name)) {
      found.push(pattern);
      continue;
    }
    const names = (await files.list(folder)).filter(
      (one) => !one.startsWith('.') && fitsPattern(name, one, true),
    );
    found.push(...names.map((one) => `${folder}/${one}`));
  }
  return found;
}
