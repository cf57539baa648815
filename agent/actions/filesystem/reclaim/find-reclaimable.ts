import { createHash } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import type { ReclaimExtra } from '../../../../proto/actions/reclaim.ts';
import type { ActionContext } from '../../../runner/action.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import {
  TargetPathError,
  type TargetFolder,
  type TargetRoot,
} from '../../../target/target-root.ts';
import { reclaimableKinds, type Candidate, type ReclaimableKind } from './reclaimable-kinds.ts';

/** What there is to remove of one kind, sorted by path. */
export interface Reclaimable {
  kind: ReclaimableKind;
  files: Candidate[];
  bytes: number;
  /** Of names, sizes, times and inodes: a plan means exactly these files. */
  digest: string;
}

/** What a person might expect to go, and why it stays. */
export interface Staying {
  kind: ReclaimableKind;
  /** Goes on a sentence: `named as what somebody has saved` */
  why: string;
  /** None where their number changes all the time: a plan holds as long as nothing in it does. */
  files: Candidate[];
}

export interface LookedThrough {
  goes: Reclaimable[];
  stays: Staying[];
}

export interface ReclaimOptions {
  also: readonly ReclaimExtra[];
  keepJournalBytes: number;
}

/** Looks through the places of every kind; follows no symlink to another place. Kinds without files are left out. */
export async function findReclaimable(
  context: Pick<ActionContext, 'signal'>,
  root: TargetRoot,
  { also, keepJournalBytes }: ReclaimOptions,
): Promise<LookedThrough> {
  const goes: Reclaimable[] = [];
  const stays: Staying[] = [];
  for (const kind of reclaimableKinds) {
    if (kind.extra !== undefined && !also.includes(kind.extra)) {
      const why = `removed only where the order says also=${kind.extra}`;
      if (await hasAny(context, root, kind)) stays.push({ kind, why, files: [] });
      continue;
    }
    const seen = await look(context, root, kind);
    stays.push(...seen.stays);
    if (seen.found.length === 0) continue;
    const needed = (await kind.whyNeeded?.(new TargetFiles(root.path))) ?? null;
    if (needed !== null) {
      const why = `since packages may have to be repaired from archives (${needed})`;
      stays.push({ kind, why, files: seen.found });
      continue;
    }
    const chosen = new Set<Candidate>(
      kind.choose?.goes(seen.found, keepJournalBytes) ?? seen.found,
    );
    if (kind.choose !== undefined && chosen.size < seen.found.length) {
      stays.push({ kind, why: kind.choose.whyOthersStay, files: [] });
    }
    const files = seen.found.filter((file) => chosen.has(file));
    if (files.length === 0) continue;
    const hash = createHash('sha256');
    for (const file of files) hash.update(`${JSON.stringify([pathOf(file), file.identity])}\n`);
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    goes.push({ kind, files, bytes, digest: `sha256:${hash.digest('hex')}` });
  }
  return { goes, stays };
}

export function pathOf({ folder, name }: Pick<Candidate, 'folder' | 'name'>): string {
  return `${folder === '/' ? '' : folder}/${name}`;
}

function byPath(a: Candidate, b: Candidate): number {
  return pathOf(a) < pathOf(b) ? -1 : 1;
}

const FURTHER_NAMES = 'with further names (hard links), so that no room would become free';

type Found = Candidate & { identity: string; hasFurtherNames: boolean };

/** Files of a kind that may go, and those that stay by themselves, by the reason. */
async function look(
  context: Pick<ActionContext, 'signal'>,
  root: TargetRoot,
  kind: ReclaimableKind,
): Promise<{ found: Found[]; stays: Staying[] }> {
  const found: Found[] = [];
  const kept: { why: string; file: Candidate }[] = [];
  const stays: Staying[] = [];
  for (const { folder: place, depth } of kind.places) {
    const elsewhere = await whereElse(root, place);
    if (elsewhere !== null) {
      const why = `as ${place} leads to ${elsewhere}, where nothing is removed`;
      stays.push({ kind, why, files: [] });
      continue;
    }
    for await (const { folder, names } of foldersFrom(context, root, place, depth)) {
      const beside = new Map<string, Found>();
      for (const name of names) {
        const file = await lookAt(folder, name);
        if (file !== null) beside.set(name, file);
      }
      for (const file of beside.values()) {
        const verdict = kind.judge(file, beside);
        if (verdict === 'other') continue;
        if (verdict !== 'goes') kept.push({ why: verdict.stays, file });
        else if (file.hasFurtherNames) kept.push({ why: FURTHER_NAMES, file });
        else found.push(file);
      }
    }
  }
  kept.sort((one, other) => byPath(one.file, other.file));
  for (const [why, those] of Map.groupBy(kept, (one) => one.why)) {
    stays.push({ kind, why, files: those.map(({ file }) => file) });
  }
  return { found: found.toSorted(byPath), stays };
}

/** Whether there is any, by its name alone: of some kinds a folder holds a million. */
async function hasAny(
  context: Pick<ActionContext, 'signal'>,
  root: TargetRoot,
  kind: ReclaimableKind,
): Promise<boolean> {
  for (const place of kind.places) {
    for await (const { folder, names } of foldersFrom(context, root, place.folder, place.depth)) {
      const isOne = (name: string) =>
        kind.judge({ name, folder: folder.path, bytes: 0, changedAt: 0n }, new Map()) === 'goes';
      if (names.some(isOne)) return true;
    }
  }
  return false;
}

/** The folder and those below it, so deep, with the names of their plain files; none that leads elsewhere. */
async function* foldersFrom(
  context: Pick<ActionContext, 'signal'>,
  root: TargetRoot,
  path: string,
  depth: number,
): AsyncGenerator<{ folder: TargetFolder; names: string[] }> {
  context.signal.throwIfAborted();
  const folder = await openIn(root, path);
  if (folder === null) return;
  const below: string[] = [];
  try {
    if (folder.path !== path) return;
    const entries = await folder.list();
    if (depth > 0)
      below.push(...entries.filter((one) => one.isDirectory()).map(({ name }) => name));
    yield { folder, names: entries.filter((one) => one.isFile()).map(({ name }) => name) };
  } finally {
    await folder.close();
  }
  for (const name of below) {
    yield* foldersFrom(context, root, pathOf({ folder: path, name }), depth - 1);
  }
}

/** Where a folder leads that does not lie where it is looked for: what lies there is somebody's own. */
async function whereElse(root: TargetRoot, path: string): Promise<string | null> {
  const folder = await openIn(root, path);
  await folder?.close();
  return folder === null || folder.path === path ? null : folder.path;
}

async function openIn(root: TargetRoot, path: string): Promise<TargetFolder | null> {
  try {
    return await root.openFolder(path);
  } catch (error) {
    if (error instanceof TargetPathError) return null;
    throw error;
  }
}

async function lookAt(folder: TargetFolder, name: string): Promise<Found | null> {
  const found = await lstat(folder.entry(name), { bigint: true }).catch(() => null);
  if (found === null || !found.isFile()) return null;
  return {
    name,
    folder: folder.path,
    bytes: Number(found.blocks) * 512,
    changedAt: found.mtimeNs,
    identity: [found.ino, found.size, found.mtimeNs].join(' '),
    hasFurtherNames: found.nlink !== 1n,
  };
}
