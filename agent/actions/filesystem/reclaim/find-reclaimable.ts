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

export interface ReclaimOptions {
  also: readonly ReclaimExtra[];
  keepJournalBytes: number;
}

/** Looks through the places of every kind; follows no symlink to another place. Kinds without files are left out. */
export async function findReclaimable(
  context: Pick<ActionContext, 'signal'>,
  root: TargetRoot,
  { also, keepJournalBytes }: ReclaimOptions,
): Promise<Reclaimable[]> {
  const all: Reclaimable[] = [];
  for (const kind of reclaimableKinds) {
    if (kind.extra !== undefined && !also.includes(kind.extra)) continue;
    const found: Found[] = [];
    for (const { folder, depth } of kind.places) {
      await search(context, root, folder, depth, kind, found);
    }
    if (found.length > 0 && (await kind.areNeeded?.(new TargetFiles(root.path))) === true) continue;
    const chosen = new Set<Candidate>(kind.choose?.(found, keepJournalBytes) ?? found);
    const files = found
      .filter((one) => chosen.has(one))
      .toSorted((a, b) => (pathOf(a) < pathOf(b) ? -1 : 1));
    if (files.length === 0) continue;
    const hash = createHash('sha256');
    for (const one of files) hash.update(`${JSON.stringify([pathOf(one), one.identity])}\n`);
    const bytes = files.reduce((sum, one) => sum + one.bytes, 0);
    all.push({ kind, files, bytes, digest: `sha256:${hash.digest('hex')}` });
  }
  return all;
}

export function pathOf({ folder, name }: Pick<Candidate, 'folder' | 'name'>): string {
  return `${folder === '/' ? '' : folder}/${name}`;
}

type Found = Candidate & { identity: string };

async function search(
  context: Pick<ActionContext, 'signal'>,
  root: TargetRoot,
  path: string,
  depth: number,
  kind: ReclaimableKind,
  found: Found[],
): Promise<void> {
  context.signal.throwIfAborted();
  const folder = await openStraight(root, path);
  if (folder === null) return;
  const below: string[] = [];
  try {
    const candidates: Found[] = [];
    for (const entry of await folder.list()) {
      if (entry.isDirectory() && depth > 0) below.push(entry.name);
      if (!entry.isFile()) continue;
      const candidate = await lookAt(folder, entry.name);
      if (candidate !== null) candidates.push(candidate);
    }
    const beside = new Map(candidates.map((one) => [one.name, one]));
    for (const one of candidates) if (kind.isOne(one, beside)) found.push(one);
  } finally {
    await folder.close();
  }
  for (const name of below) {
    await search(context, root, pathOf({ folder: path, name }), depth - 1, kind, found);
  }
}

/** Null when it is not there, or leads elsewhere: what lies there is somebody's own. */
async function openStraight(root: TargetRoot, path: string): Promise<TargetFolder | null> {
  let folder: TargetFolder;
  try {
    folder = await root.openFolder(path);
  } catch (error) {
    if (error instanceof TargetPathError) return null;
    throw error;
  }
  if (folder.path === path) return folder;
  await folder.close();
  return null;
}

async function lookAt(folder: TargetFolder, name: string): Promise<Found | null> {
  const found = await lstat(folder.entry(name), { bigint: true }).catch(() => null);
  // Under a further name it would still take its space.
  if (found === null || !found.isFile() || found.nlink !== 1n) return null;
  return {
    name,
    folder: folder.path,
    bytes: Number(found.blocks) * 512,
    changedAt: found.mtimeNs,
    identity: [found.ino, found.size, found.mtimeNs].join(' '),
  };
}
