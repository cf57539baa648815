import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { JournalRecord } from '../../jobs/journal-record.ts';
import {
  ActionError,
  type ActionContext,
  type ActionResult,
  type SavedBackup,
} from '../../runner/action.ts';
import { syncAndDigest } from '../filesystem/durable-write.ts';
import { runDpkg } from './apt-session.ts';
import { changeStepTexts } from './change-plan.ts';
import { automaticPackages, readRecord, type ChangeRecord } from './change-record.ts';
import { findPackage, listPackages, type InstalledPackage } from './installed-packages.ts';
import { awaitPackageLocks } from './lock-wait.ts';
import { audit, whatBecameOf } from './package-outcome.ts';
import { clearLeftHold } from './service-hold.ts';
import { notRestored, restored, whatWasUndone } from './undo-outcome.ts';

type Recorded = ChangeRecord['packages'][number];

/** What is to be done to go back. */
interface WayBack {
  /** Kept archives to put over what is there. */
  put: { path: string; entry: InstalledPackage }[];
  /** Packages that were not there at all. */
  purge: InstalledPackage[];
  /** Packages of which only configuration files were there: those stay. */
  remove: InstalledPackage[];
}

/** What the step is called in the journal. */
export const undoStep = {
  id: 'undo-packages',
  description: 'Put the earlier versions back and take away what was not there',
  interrupt: 'finish',
} as const;

/**
 * Takes a change of packages back, also one that failed or was cut off. Refuses with `changed_since` when a
 * package has meanwhile become another one than the change had made of it.
 */
export async function undoChange(context: ActionContext): Promise<ActionResult> {
  const { undone } = context;
  if (undone === null) throw new ActionError('undo_not_possible', 'no job to undo was named');
  await clearLeftHold(context);
  const saved = savedBy(undone.records);
  if (saved.length === 0) {
    return restored(context, [], 'No package had been touched: there is nothing to take back.');
  }
  const folder = await findBackups(saved, undone.directory);
  const record = await readRecord(folder);
  await awaitPackageLocks(context);
  const way = findWay(record.packages, await listPackages(context), folder);
  if (way.put.length + way.purge.length + way.remove.length === 0) {
    const packages = await whatBecameOf(context, asTold(record.packages));
    return restored(context, packages, 'Every package is as it was before already.');
  }
  await context.step(undoStep, async (confirm) => {
    await confirm(saved);
    await goBack(context, way);
    await restoreMarks(context, record);
  });
  return judge(context, record, way);
}

/** What the job had kept before its first change. */
export function savedBy(records: readonly JournalRecord[]): SavedBackup[] {
  return records.flatMap((record) =>
    record.type === 'step_saved' && record.step === changeStepTexts.save.id ? record.backups : [],
  );
}

/** The folder of the backups, each of them compared with the digest the journal has. */
export async function findBackups(
  backups: readonly SavedBackup[],
  directory: string,
): Promise<string> {
  const folder = join(directory, 'backups');
  const isThere = await stat(folder).catch(() => null);
  if (isThere === null) throw new ActionError('backup_damaged', `${folder} is not there any more`);
  for (const { path, digest } of backups) {
    const own = join(folder, path.slice(dirname(path).length + 1));
    const found = await syncAndDigest(own).catch((error: Error) => {
      throw new ActionError('backup_damaged', `a backup cannot be read: ${error.message}`);
    });
    if (found.digest === digest) continue;
    throw new ActionError('backup_damaged', `${own} is not what was saved: ${found.digest}`);
  }
  return folder;
}

/** Decides per package by what it is now; nothing has been changed when this throws. */
export function findWay(
  recorded: readonly Recorded[],
  installed: readonly InstalledPackage[],
  folder: string,
): WayBack {
  const way: WayBack = { put: [], purge: [], remove: [] };
  for (const planned of recorded) {
    const entry = findPackage(installed, planned);
    if (entry === undefined) {
      if (planned.before === null) continue;
      throw changedSince(`${planned.name} is gone`);
    }
    if (isAsBefore(entry, planned)) continue;
    if (entry.version !== planned.to && entry.version !== planned.before?.version) {
      throw changedSince(`${planned.name} is ${entry.version} now`);
    }
    if (planned.before === null) way.purge.push(entry);
    else if (planned.before.state === 'config-files') way.remove.push(entry);
    else if (planned.file !== null) way.put.push({ path: join(folder, planned.file), entry });
    else {
      throw new ActionError(
        'undo_not_possible',
        `${planned.name} ${planned.before.version} could not be kept, as the plan said. Nothing was changed.`,
      );
    }
  }
  return way;
}

function isAsBefore(entry: InstalledPackage, { before }: Recorded): boolean {
  return before !== null && entry.version === before.version && entry.state === before.state;
}

function changedSince(what: string): ActionError {
  return new ActionError(
    'changed_since',
    `packages were changed after the job: ${what}. Nothing was changed.`,
  );
}

/** Old versions first, so that nothing needs what is then taken away. */
async function goBack(context: ActionContext, { put, purge, remove }: WayBack): Promise<void> {
  const names = (entries: readonly InstalledPackage[]) => entries.map(({ dpkgName }) => dpkgName);
  const broken = '--force-remove-reinstreq';
  if (put.length > 0) {
    const paths = put.map(({ path }) => path);
    await dpkg(context, ['--force-downgrade', '--force-confold', '--unpack', ...paths]);
  }
  if (purge.length > 0) await dpkg(context, [broken, '--purge', ...names(purge)]);
  if (remove.length > 0) await dpkg(context, [broken, '--remove', ...names(remove)]);
  if (put.length > 0) {
    await dpkg(context, [
      '--force-confold',
      '--configure',
      ...names(put.map(({ entry }) => entry)),
    ]);
  }
  await dpkg(context, ['--force-confold', '--triggers-only', '--pending']);
}

async function dpkg(context: ActionContext, words: readonly string[]): Promise<void> {
  const done = await runDpkg(context, ['dpkg', ...words], { output: 'both' });
  if (done.exitStatus === 0) return;
  const said = done.err.trim().slice(-1000);
  throw new ActionError('undo_failed', `dpkg ended with status ${done.exitStatus}: ${said}`);
}

/** apt remembers which packages nobody asked for; those that stay are remembered as before. */
async function restoreMarks(context: ActionContext, record: ChangeRecord): Promise<void> {
  const now = new Set(await automaticPackages(context));
  const before = new Set(record.automatic);
  const stayed = record.packages.filter((entry) => entry.before?.state === 'installed');
  for (const [mark, from, to] of [
    ['auto', before, now],
    ['manual', now, before],
  ] as const) {
    const names = stayed.map(({ name }) => name).filter((name) => from.has(name) && !to.has(name));
    if (names.length === 0) continue;
    const done = await runDpkg(context, ['apt-mark', mark, ...names], { output: 'both' });
    if (done.exitStatus !== 0) context.note(`apt-mark ${mark} failed: ${done.err.trim()}`);
  }
}

async function judge(
  context: ActionContext,
  record: ChangeRecord,
  way: WayBack,
): Promise<ActionResult> {
  const packages = await whatBecameOf(context, asTold(record.packages));
  const unfinished = await audit(context);
  const wrong = record.packages.filter(({ before }, at) => {
    const { state, after } = packages[at]!;
    if (before === null) return state !== 'not-installed';
    return state !== before.state || (after !== null && after !== before.version);
  });
  if (wrong.length > 0 || unfinished !== '') {
    return notRestored(context, packages, { wrong, audit: unfinished });
  }
  const put = way.put.map(({ entry }) => entry);
  const stays =
    'Configuration files of packages that stay are as they were left; users and data that programs of the packages made may remain.';
  return restored(context, packages, whatWasUndone(put, [...way.purge, ...way.remove], stays));
}

function asTold(recorded: readonly Recorded[]) {
  return recorded.map(({ name, architecture, before, to }) => ({
    name,
    architecture,
    before: before?.state === 'config-files' || before === null ? null : (before.version ?? to),
  }));
}
