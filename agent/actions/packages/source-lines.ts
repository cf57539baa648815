import type { TargetFiles } from '../../target/target-files.ts';

const SOURCES = '/etc/apt/sources.list';

/** A line at which apt stops. */
export interface BadSource {
  file: string;
  /** From 1. */
  line: number;
  text: string;
  /** As the end of "apt stops at it, because". */
  why: string;
}

/** The lines of one-line style (sources.list(5)) that apt cannot read: it then reads no other, either. */
export async function badSources(files: TargetFiles): Promise<BadSource[]> {
  const names = (await files.list(`${SOURCES}.d`)).filter((name) => name.endsWith('.list'));
  const bad: BadSource[] = [];
  for (const file of [SOURCES, ...names.map((name) => `${SOURCES}.d/${name}`)]) {
    for (const [at, text] of ((await files.read(file)) ?? '').split('\n').entries()) {
      const why = whyBadSource(text);
      if (why !== null) bad.push({ file, line: at + 1, text, why });
    }
  }
  return bad;
}

/** One-line style of sources.list(5). */
export function whyBadSource(line: string): string | null {
  // apt takes no # between brackets for a comment: names of discs have them.
  const text = line.replace(/^((?:\[[^\]]*\]|[^#[])*)#.*$/, '$1').trim();
  if (text === '') return null;
  const match = /^(\S+)(?:\s+\[[^\]]*\])?(?:\s+(\S+))?(?:\s+(\S+))?(?:\s+(.+))?$/.exec(text);
  const [, type, uri, suite, components] = match ?? [];
  if (type !== 'deb' && type !== 'deb-src') return `it begins with ${type ?? text}`;
  if (uri === undefined || !/^[a-z][a-z0-9+.-]*:/i.test(uri)) return 'it names no address';
  if (suite === undefined) return 'it names no suite';
  if (!suite.endsWith('/') && components === undefined) return 'it names no component';
  return null;
}
