import { lstat, readdir, readlink } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFiles } from '../target-files.ts';
import type { Layer } from './try-inside.ts';

/** What was written over one name of the target; `from` is where the new content lies. */
export type TriedChange =
  | ({ path: string; stats: Stats; isNew: boolean } & (
      | { kind: 'folder' }
      | { kind: 'file'; from: string }
      | { kind: 'link'; leadsTo: string }
    ))
  | { kind: 'gone'; path: string };

const CHANGES_MAX = 20_000;
/** Extended attributes (overlayfs, capabilities(7), acl(5)) by which an entry is more than it seems. */
const TELLING = '^(trusted[.]overlay[.]opaque|security[.]capability|system[.]posix_acl_.*)$';

/**
 * What was written to layers, folders before what lies in them. Throws ActionError `unusual_change` for what
 * cannot be written to the target by whoever changes one file after the other: a folder in the place of a
 * file, devices, powers of a new program.
 */
export async function triedChanges(
  context: Pick<ActionContext, 'run'>,
  files: TargetFiles,
  layers: readonly Layer[],
): Promise<TriedChange[]> {
  const changes: TriedChange[] = [];
  for (const { mountPoint, upper } of layers) {
    const telling = await tellingNames(context, upper);
    await walk(files, upper, mountPoint === '/' ? '' : mountPoint, telling, changes);
  }
  return changes;
}

async function walk(
  files: TargetFiles,
  upper: string,
  path: string,
  telling: ReadonlySet<string>,
  changes: TriedChange[],
): Promise<void> {
  for (const { name } of await readdir(upper, { withFileTypes: true })) {
    const from = join(upper, name);
    const place = `${path}/${name}`;
    const before = await files.lstat(place);
    const change = await changeOf(from, place, before, telling.has(from));
    if (change === null) continue;
    if (changes.length >= CHANGES_MAX) throw unusual(path, 'too many files');
    changes.push(change);
    if (change.kind === 'folder') await walk(files, from, place, telling, changes);
  }
}

async function changeOf(
  from: string,
  path: string,
  before: Stats | null,
  isTelling: boolean,
): Promise<TriedChange | null> {
  const stats = await lstat(from);
  if (stats.isCharacterDevice() && stats.rdev === 0) {
    if (before === null) return null;
    if (before.isDirectory()) throw unusual(path, 'a folder is taken away');
    return { kind: 'gone', path };
  }
  const isNew = before === null;
  if (!isNew && kindOf(before) !== kindOf(stats)) throw unusual(path, 'another kind of file');
  if (stats.isDirectory()) {
    if (!isNew && isTelling) throw unusual(path, 'a folder is made anew');
    return { kind: 'folder', path, stats, isNew };
  }
  if (stats.isSymbolicLink()) {
    return { kind: 'link', path, stats, isNew, leadsTo: await readlink(from) };
  }
  if (!stats.isFile()) throw unusual(path, 'neither file, folder nor link');
  if (isNew && isTelling) throw unusual(path, 'a new file with powers or lists of its own');
  return { kind: 'file', path, stats, isNew, from };
}

function kindOf(stats: Stats): string {
  return String(stats.mode & 0o170000);
}

async function tellingNames(
  context: Pick<ActionContext, 'run'>,
  upper: string,
): Promise<Set<string>> {
  const argv = ['getfattr', '-R', '-h', '--absolute-names', '-m', TELLING, upper];
  const done = await context.run(argv, { output: 'capture' });
  if (done.exitStatus !== 0 || done.truncated) {
    throw new ActionError('tool_failed', `getfattr: ${done.err.trim().slice(0, 300)}`);
  }
  // It writes what is no plain letter as \ooo.
  const plain = (name: string) =>
    name.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return new Set([...done.out.matchAll(/^# file: (.*)$/gm)].map(([, name]) => plain(name!)));
}

function unusual(path: string, what: string): ActionError {
  return new ActionError(
    'unusual_change',
    `${path}: ${what}, which is not taken over. Nothing was changed.`,
  );
}
