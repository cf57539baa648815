import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { diskNeeds, type DiskNeed } from '../disk-need.ts';
import { foldersOf, mentioned } from '../package-change.ts';
import { refuseForbidden } from '../transaction.ts';
import { installedScripts, type RpmArchive } from './rpm-archives.ts';
import { keptConfigFiles } from './rpm-config-files.ts';
import { nvra, type RpmName } from './rpm-manager.ts';
import { listRpms, recordFolder, type InstalledRpm } from './rpm-records.ts';
import type { RpmSession } from './rpm-session.ts';

/** A package that would come, and what would give way to it. */
export interface ComingRpm {
  archive: RpmArchive;
  /** Null for what comes beside everything that is there, such as a further kernel. */
  replaces: InstalledRpm | null;
}

/** All that a change of rpms would do, found out without changing anything. */
export interface RpmChange {
  coming: ComingRpm[];
  /** Replaced versions that no repository has any more. */
  unavailable: RpmName[];
  services: string[];
  /** Every program of the packages that calls services, joined. */
  callingScripts: string;
  keptConffiles: string[];
  writtenFolders: string[];
  needs: DiskNeed[];
}

const CALLS_SERVICES = /systemctl|systemd-update-helper|\/s?bin\/(?:service|rc\w+)\b|invoke-rc\.d/;
/** rpm writes its record anew in pieces, and the manager its history. */
const RECORD_BYTES = 8 * 1024 * 1024;

/** Looks at what the manager would do with these words. Throws ActionError for what is never done. */
export async function examineRpmChange(
  context: ActionContext,
  session: RpmSession,
  words: readonly string[],
): Promise<RpmChange> {
  const { installed, upgraded, downgraded, reinstalled, removed } = await session.simulate(words);
  refuseForbidden({
    removed,
    downgraded: [...downgraded, ...reinstalled].map(({ name }) => name),
    held: [],
  });
  const expected = [...installed, ...upgraded];
  const archives = expected.length === 0 ? [] : await session.fetch(words);
  requireSame(expected, archives);
  const record = await listRpms(context);
  const coming = archives.map((archive) => {
    const isUpgrade = upgraded.some((entry) => nvra(entry) === nvra(archive));
    return { archive, replaces: isUpgrade ? replacedBy(archive, record) : null };
  });
  const replaced = coming.flatMap(({ replaces }) => replaces ?? []);
  const available = await session.available(replaced.map(({ name }) => name));
  const unavailable = replaced.filter(
    (entry) => !available.some((one) => nvra(one) === nvra(entry) && one.evr === entry.evr),
  );
  const scripts = await scriptsOf(context, coming);
  const keptConffiles: string[] = [];
  for (const { archive, replaces } of coming) {
    keptConffiles.push(...(await keptConfigFiles(context, archive.configFiles, replaces)));
  }
  const folder = await recordFolder(context);
  return {
    coming,
    unavailable,
    ...scripts,
    keptConffiles: keptConffiles.toSorted(),
    writtenFolders: foldersOf(archives, [folder, ...session.manager.records]),
    needs: await diskNeeds(bytesWritten(context, coming, unavailable, folder)),
  };
}

/** What came must be what was simulated, each once. */
function requireSame(expected: readonly RpmName[], archives: readonly RpmArchive[]): void {
  const named = (entries: readonly RpmName[]) => entries.map(nvra).toSorted();
  const [wanted, came] = [named(expected), named(archives)];
  if (wanted.length === came.length && wanted.every((name, at) => name === came[at])) return;
  throw new ActionError(
    'download_failed',
    `the repositories gave other packages than were to come: ${came.join(', ').slice(0, 1000)}. Nothing was changed.`,
  );
}

function replacedBy(archive: RpmName, record: readonly InstalledRpm[]): InstalledRpm {
  const named = record.filter(({ name }) => name === archive.name);
  const fitting = named.filter(({ architecture }) => architecture === archive.architecture);
  const found = fitting.length > 0 ? fitting : named;
  if (found.length === 1) return found[0]!;
  throw new ActionError(
    found.length === 0 ? 'record_damaged' : 'packages_duplicate',
    `${archive.name} would be replaced, of which ${found.length} versions are installed. Nothing was changed: packages.repair looks at that.`,
  );
}

async function scriptsOf(
  context: ActionContext,
  coming: readonly ComingRpm[],
): Promise<{ services: string[]; callingScripts: string }> {
  const services = new Set<string>();
  const calling: string[] = [];
  for (const { archive, replaces } of coming) {
    const old =
      replaces === null ? { units: [], scripts: '' } : await installedScripts(context, replaces);
    for (const { units, scripts } of [archive, old]) {
      mentioned(units, scripts, CALLS_SERVICES).forEach((unit) => services.add(unit));
      if (CALLS_SERVICES.test(scripts)) calling.push(scripts);
    }
  }
  return { services: [...services].toSorted(), callingScripts: calling.join('\n') };
}

function bytesWritten(
  context: ActionContext,
  coming: readonly ComingRpm[],
  unavailable: readonly RpmName[],
  recordAt: string,
): Map<string, number> {
  const sum = new Map<string, number>();
  const add = (folder: string, bytes: number) => sum.set(folder, (sum.get(folder) ?? 0) + bytes);
  for (const { archive, replaces } of coming) {
    archive.bytesByFolder.forEach((bytes, at) => add(at, bytes));
    // An archive is smaller than what was unpacked from it.
    if (replaces !== null && !unavailable.includes(replaces)) {
      add(context.directory, replaces.bytes);
    }
  }
  add(recordAt, coming.length === 0 ? 0 : RECORD_BYTES);
  return sum;
}
