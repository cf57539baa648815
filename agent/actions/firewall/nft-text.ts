import { isUtf8 } from 'node:buffer';
import type { TargetFiles } from '../../target/target-files.ts';

const DEPTH_MAX = 8;
const TEXT_MAX_BYTES = 1024 * 1024;
/** What each include takes of the above beside its text: the least that is read for one. */
const INCLUDE_BYTES = 1024;
/**
 * A comment; a string; an include that stands where a statement begins and is all of it; any other include; a
 * string without an end. As nft's own scanner divides a text, but that a string must end on its line.
 */
const TOKEN =
  /#[^\n]*|"[^"\n]*"|include(?<=(?:^|[\n;{}])[ \t]*include)[ \t]+"(?<named>[^"\n]+)"(?=[ \t]*(?:[\n;#]|$))|(?<other>(?<![A-Za-z_.-])include(?![\w.-])|")/g;

/** Thrown for a text that is not handed to nft, which would open files of this machine for it. */
export class NftTextError extends Error {
  override name = 'NftTextError';
}

/** A rule set (nft(8)) that includes nothing any more. */
export interface NftText {
  text: string;
  /** Where a line of `text`, from 1, stands in the target. */
  placeOf: (line: number) => { path: string; line: number };
}

/**
 * The rules of a file with what it includes, all read from the target: nft would take a name in it for one of this
 * machine, wait for pipes and open devices. Throws NftTextError for what cannot be read that way.
 *
 * @param text what the file at `path` holds, or is to hold
 */
export async function withIncludes(
  files: TargetFiles,
  path: string,
  text: string,
): Promise<NftText> {
  const pieces: string[] = [];
  const spans: { from: number; path: string; line: number }[] = [];
  let lines = 1;
  let left = TEXT_MAX_BYTES;

  function add(piece: string, own: string, line: number): void {
    spans.push({ from: lines, path: own, line });
    pieces.push(piece);
    lines += newlines(piece);
  }

  function spend(own: string, bytes: number): void {
    left -= bytes;
    if (left < 0) throw new NftTextError(`${own}: with all that is included it is too long`);
  }

  async function expand(own: string, content: string, depth: number): Promise<void> {
    spend(own, Buffer.byteLength(content));
    if (depth > DEPTH_MAX) throw new NftTextError(`${own}: files include each other`);
    let end = 0;
    let line = 1;
    for (const { 0: token, index, groups } of content.matchAll(TOKEN)) {
      const { named, other } = groups!;
      if (named === undefined && other === undefined) continue;
      const before = content.slice(end, index);
      const at = line + newlines(before);
      if (other !== undefined) throw new NftTextError(`${own}:${at}: ${WHY[other]!}`);
      add(before, own, line);
      spend(own, INCLUDE_BYTES);
      for (const one of await included(files, `${own}:${at}`, named!)) {
        spend(own, INCLUDE_BYTES);
        const rules = await readRules(files, `${own}:${at}`, one);
        await expand(one, rules === '' || rules.endsWith('\n') ? rules : `${rules}\n`, depth + 1);
      }
      line = at;
      end = index + token.length;
    }
    add(content.slice(end), own, line);
  }

  await expand(path, text, 0);
  return {
    text: pieces.join(''),
    placeOf(line) {
      const span = spans.findLast(({ from }) => from <= line)!;
      return { path: span.path, line: span.line + line - span.from };
    },
  };
}

const WHY: Readonly<Record<string, string>> = {
  include: 'an include that is no statement of its own is not looked into',
  '"': 'a quotation mark has no end on its line',
};

function newlines(text: string): number {
  return text.split('\n').length - 1;
}

/** Files that an include names: of a pattern those that are there, else the one. */
async function included(files: TargetFiles, place: string, named: string): Promise<string[]> {
  const path = named.startsWith('/') ? named : `/etc/${named}`;
  const at = path.lastIndexOf('/');
  const [head, tail, ...more] = path.slice(at + 1).split('*');
  if (path.slice(0, at).includes('*') || /[?[\]{}\\]/.test(path) || more.length > 0) {
    throw new NftTextError(`${place}: only one * in the last part of a name is looked into`);
  }
  if (tail === undefined) return [path];
  const found: string[] = [];
  for (const name of await files.list(path.slice(0, at))) {
    if (name.startsWith('.') || !name.startsWith(head!) || !name.endsWith(tail)) continue;
    const one = `${path.slice(0, at)}/${name}`;
    // As nft does, which reads no folder for a pattern.
    const isFolder = (await files.stat(one).catch(() => null))?.isDirectory() === true;
    if (!isFolder) found.push(one);
  }
  return found;
}

async function readRules(files: TargetFiles, place: string, path: string): Promise<string> {
  const bytes = await files.readWhole(path).catch(() => null);
  if (bytes !== null && isUtf8(bytes)) return bytes.toString();
  throw new NftTextError(`${place}: ${path} cannot be read as rules, or is not there`);
}
