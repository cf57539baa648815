import { readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { ActionError } from '../../runner/action.ts';
import { TargetPathError, type TargetRoot } from '../../target/target-root.ts';
import { removeFolders } from '../files/folders.ts';
import { putLink, readLink } from '../files/put-link.ts';

/**
 * Where `systemctl enable` and `mask` put their symlinks: systemd's own folders, and those of the runlevels,
 * which Debian keeps for units that also have an init script.
 */
const FOLDERS = ['/etc/systemd/system', '/run/systemd/system'].concat(
  ['0', '1', '2', '3', '4', '5', '6', 'S'].map((level) => `/etc/rc${level}.d`),
);
const MAX_LINKS = 20_000;

/** All symlinks there, by path, and the folders below those of systemd. */
export const linkSnapshotSchema = z.strictObject({
  version: z.literal(1),
  folders: z.array(z.string()),
  links: z.record(z.string(), z.string()),
});
export type LinkSnapshot = z.output<typeof linkSnapshotSchema>;

export async function readLinks(root: TargetRoot): Promise<LinkSnapshot> {
  const links: Record<string, string> = {};
  const folders: string[] = [];
  const read = async (path: string, isTop: boolean): Promise<void> => {
    const folder = await root.openFolder(path).catch((error: unknown) => {
      if (error instanceof TargetPathError) return null;
      throw error;
    });
    if (folder === null) return;
    const below: string[] = [];
    try {
      for (const entry of await folder.list()) {
        const own = `${path}/${entry.name}`;
        if (entry.isSymbolicLink()) links[own] = await readlink(folder.entry(entry.name));
        else if (entry.isDirectory() && isTop) below.push(own);
      }
    } finally {
      await folder.close();
    }
    folders.push(...below);
    if (Object.keys(links).length > MAX_LINKS) {
      throw new ActionError('too_many_links', `there are over ${MAX_LINKS} symlinks in ${path}`);
    }
    for (const one of below) await read(one, false);
  };
  for (const path of FOLDERS) await read(path, true);
  return {
    version: 1,
    folders: folders.toSorted(),
    links: Object.fromEntries(Object.entries(links).toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** Those that lead to a unit or have one of its names, as lines. */
export function linksOf(snapshot: LinkSnapshot, names: readonly string[]): string[] {
  return Object.entries(snapshot.links)
    .filter(([path, target]) => isOf(names, path) || isOf(names, target))
    .map(([path, target]) => `${path} -> ${target}`);
}

/** Whether a path ends in one of the names of a unit, or in that of its init script. */
function isOf(names: readonly string[], path: string): boolean {
  const last = basename(path);
  return names.some((name) => last === name || `${last}.service` === name);
}

/**
 * What a job left that was cut off before it could write that down: as it was before, and of what differs now
 * the links of its unit alone. Whatever else differs may be somebody else's.
 */
export function presumedAfter(
  before: LinkSnapshot,
  now: LinkSnapshot,
  names: readonly string[],
): LinkSnapshot {
  const links = new Map(Object.entries(before.links));
  for (const path of changedLinks(before, now)) {
    const targets = [path, before.links[path] ?? '', now.links[path] ?? ''];
    if (!targets.some((target) => isOf(names, target))) continue;
    const target = now.links[path];
    if (target === undefined) links.delete(path);
    else links.set(path, target);
  }
  return { version: 1, folders: now.folders, links: Object.fromEntries(links) };
}

/** Paths of links that differ between two looks. */
export function changedLinks(before: LinkSnapshot, after: LinkSnapshot): string[] {
  const all = new Set([...Object.keys(before.links), ...Object.keys(after.links)]);
  return [...all].filter((path) => before.links[path] !== after.links[path]).toSorted();
}

/** Throws ActionError `changed_since` when a link that a job changed is not as the job left it. */
export function requireLinksUnchanged(
  before: LinkSnapshot,
  after: LinkSnapshot,
  now: LinkSnapshot,
): void {
  const other = changedLinks(before, after).find(
    (path) => now.links[path] !== before.links[path] && now.links[path] !== after.links[path],
  );
  if (other === undefined) return;
  throw new ActionError('changed_since', `${other} has been changed after the job`);
}

/**
 * Puts back the links that differ between `before` and `after`, and the folders that were made or removed
 * with them. Others are left alone. May be cut off anywhere and begun again. Throws ActionError `changed_since`
 * before the first change where something else than a link lies in the place of one by now.
 */
export async function restoreLinks(
  root: TargetRoot,
  before: LinkSnapshot,
  after: LinkSnapshot,
): Promise<void> {
  const paths = changedLinks(before, after);
  for (const path of paths) await requireNothingElse(root, path);
  for (const path of paths) await putLink(root, path, before.links[path]);
  const made = after.folders.filter((path) => !before.folders.includes(path));
  await removeFolders(root, made);
}

async function requireNothingElse(root: TargetRoot, path: string): Promise<void> {
  await readLink(root, path).catch((error: unknown) => {
    if (!(error instanceof ActionError)) throw error;
    throw new ActionError('changed_since', `${path} was a symlink after the job, and is none now`);
  });
}
