import type { ActionContext } from '../../runner/action.ts';
import { ActionError } from '../../runner/action.ts';
import { readArchive, unitsOf, type ArchiveContents } from './archive-contents.ts';
import { runDpkg, type AptSession } from './apt-session.ts';
import { changedConffiles } from './conffiles.ts';
import { diskNeeds, type DiskNeed } from './disk-need.ts';
import { findPackage, listPackages, type InstalledPackage } from './installed-packages.ts';
import { fetchArchives, type PackageArchive } from './package-archives.ts';
import { filesOf } from './repack.ts';
import { divertedPaths, howToKeep, type Keeping } from './saved-packages.ts';
import { refuseForbidden, simulate, type PlannedPackage } from './transaction.ts';

/** A package that is there now and that a change would replace. */
export interface Replaced {
  entry: InstalledPackage;
  keeping: Keeping;
}

/** All that a change of packages would do, found out without changing anything. */
export interface PackageChange {
  archives: PackageArchive[];
  /** Packages that are unpacked already and would only be configured. */
  configured: string[];
  replaced: Replaced[];
  /** Services that the packages' own programs start, stop or restart. */
  services: string[];
  /** The client's configuration files that stay as they are. */
  keptConffiles: string[];
  writtenFolders: string[];
  needs: DiskNeed[];
}

const CALLS_SERVICES = /deb-systemd-invoke|invoke-rc\.d|systemctl/;
const MAX_FOLDERS = 12;
/** dpkg's and apt's own records, and their logs. */
const RECORDS = ['/var/lib/dpkg', '/var/lib/apt', '/var/cache', '/var/log'];

/** Looks at what apt would do with these words. Throws ActionError for what is never done. */
export async function examineChange(
  context: ActionContext,
  session: AptSession,
  words: readonly string[],
): Promise<PackageChange> {
  const transaction = await simulate(session, words);
  refuseForbidden(transaction);
  const { packages } = transaction;
  const archives =
    packages.length === 0 ? [] : await fetchArchives(context, session, words, packages);
  const installed = await listPackages(context);
  const replaced = await findReplaced(context, packages, installed);
  const contents: ArchiveContents[] = [];
  for (const { path } of archives) contents.push(await readArchive(context, path, session.folder));
  const names = replaced.map(({ entry }) => entry.dpkgName);
  const changed = await changedConffiles(context, names);
  const offered = new Set(contents.flatMap(({ conffiles }) => conffiles));
  return {
    archives,
    configured: transaction.configured,
    replaced,
    services: await touchedServices(context, contents, replaced),
    keptConffiles: changed.filter((path) => offered.has(path)),
    writtenFolders: foldersOf(contents),
    needs: await diskNeeds(bytesWritten(context, contents, replaced)),
  };
}

async function findReplaced(
  context: ActionContext,
  packages: readonly PlannedPackage[],
  installed: readonly InstalledPackage[],
): Promise<Replaced[]> {
  const diverted = await divertedPaths(context);
  const replaced: Replaced[] = [];
  for (const planned of packages) {
    if (planned.from === null) continue;
    const entry = findPackage(installed, planned);
    if (entry === undefined) {
      throw new ActionError('dpkg_unreadable', `apt and dpkg disagree about ${planned.name}`);
    }
    replaced.push({ entry, keeping: await howToKeep(context, entry, diverted) });
  }
  return replaced;
}

/** Those whose name stands in a program of the old or the new version that calls services. */
async function touchedServices(
  context: ActionContext,
  contents: readonly ArchiveContents[],
  replaced: readonly Replaced[],
): Promise<string[]> {
  const found = contents.flatMap(({ units, scripts }) => mentioned(units, scripts));
  for (const { entry } of replaced) {
    const shown = await Promise.all(
      ['prerm', 'postrm'].map((script) =>
        runDpkg(context, ['dpkg-query', '--control-show', entry.dpkgName, script], {
          output: 'capture',
        }),
      ),
    );
    const scripts = shown.map(({ exitStatus, out }) => (exitStatus === 0 ? out : ''));
    found.push(...mentioned(unitsOf(await filesOf(entry)), scripts.join('\n')));
  }
  return [...new Set(found)].toSorted();
}

export function mentioned(
  units: readonly string[],
  scripts: string,
  calls: RegExp = CALLS_SERVICES,
): string[] {
  if (!calls.test(scripts)) return [];
  return units.filter((unit) => scripts.includes(unit.replace(/\.service$/, '')));
}

/** The folders near the root under which the archives are unpacked, and those of the records. */
export function foldersOf(
  contents: readonly Pick<ArchiveContents, 'bytesByFolder'>[],
  records: readonly string[] = RECORDS,
): string[] {
  const folders = contents.flatMap(({ bytesByFolder }) => [...bytesByFolder.keys()]);
  const two = new Set(folders.map((folder) => folder.split('/').slice(0, 3).join('/')));
  const one = new Set(folders.map((folder) => folder.split('/').slice(0, 2).join('/')));
  const fitting = two.size <= MAX_FOLDERS ? two : one;
  return [...new Set([...fitting, ...records])].toSorted();
}

function bytesWritten(
  context: ActionContext,
  contents: readonly ArchiveContents[],
  replaced: readonly Replaced[],
): Map<string, number> {
  const sum = new Map<string, number>();
  const add = (folder: string, bytes: number) => sum.set(folder, (sum.get(folder) ?? 0) + bytes);
  for (const { bytesByFolder } of contents) bytesByFolder.forEach((bytes, at) => add(at, bytes));
  for (const { keeping } of replaced) {
    if (keeping.how !== 'none') add(context.directory, keeping.bytes);
  }
  return sum;
}
