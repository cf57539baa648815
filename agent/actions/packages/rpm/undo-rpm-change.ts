import { join } from 'node:path';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import { listed } from '../change-plan.ts';
import { awaitPackageLocks } from '../lock-wait.ts';
import { findBackups, savedBy, undoStep } from '../undo-change.ts';
import { notRestored, restored, whatWasUndone } from '../undo-outcome.ts';
import { locksOf } from './apply-rpm-install.ts';
import { lackingLinesOf, ON_COPY, withRecordCopy } from './record-copy.ts';
import { readRpmRecord, type RpmChangeRecord } from './rpm-change-record.ts';
import { nvra, type RpmManager, type RpmName } from './rpm-manager.ts';
import { failedScripts, scriptError } from './rpm-messages.ts';
import { lackingOf, whatBecameOfRpms } from './rpm-outcome.ts';
import { listRpms, runRpm } from './rpm-records.ts';

type Recorded = RpmChangeRecord['packages'][number];

/** What is to be done to go back: kept archives to install, and packages to take away. */
export interface RpmWayBack {
  put: { path: string; entry: RpmName }[];
  erase: RpmName[];
}

/** rpm(8); dependencies have been looked at on a copy of the record, as the two belong together. */
const PUT: readonly string[] = ['--upgrade', '--oldpackage', '--replacepkgs', '--nodeps'];
const ERASE: readonly string[] = ['--erase', '--nodeps'];

/**
 * Takes a change of rpms back, also one that failed or was cut off. Refuses with `changed_since` when a
 * package has meanwhile become another one, and with `undo_not_possible` when other packages would then lack
 * what they need.
 */
export async function undoRpmChange(
  context: ActionContext,
  manager: RpmManager,
): Promise<ActionResult> {
  const { undone } = context;
  if (undone === null) throw new ActionError('undo_not_possible', 'no job to undo was named');
  const saved = savedBy(undone.records);
  if (saved.length === 0) {
    return restored(context, [], 'No package had been touched: there is nothing to take back.');
  }
  const folder = await findBackups(saved, undone.directory);
  const { packages } = await readRpmRecord(folder);
  await awaitPackageLocks(context, await locksOf(context, manager));
  const way = findRpmWay(packages, await listRpms(context), folder);
  if (way.put.length + way.erase.length === 0) {
    const now = await whatBecameOfRpms(context, told(packages));
    return restored(context, now, 'Every package is as it was before already.');
  }
  await rehearse(context, way);
  let scripts: string[] = [];
  await context.step(undoStep, async (confirm) => {
    await confirm(saved);
    scripts = await goBack(context, way, []);
  });
  return judge(context, packages, way, scripts);
}

/** Decides per package by what is there now; nothing has been changed when this throws. */
export function findRpmWay(
  recorded: readonly Recorded[],
  installed: readonly RpmName[],
  folder: string,
): RpmWayBack {
  const way: RpmWayBack = { put: [], erase: [] };
  for (const { name, architecture, before, replaces, to, file } of recorded) {
    const named = installed.filter((entry) => entry.name === name);
    const now = named.filter((entry) => entry.architecture === architecture);
    const other = now.find(({ evr }) => evr !== to && !before.includes(evr));
    if (other !== undefined) throw changedSince(`${name} is ${other.evr} now`);
    const hasNew = now.some(({ evr }) => evr === to);
    const entry = { name, architecture, evr: to };
    if (replaces === null) {
      if (hasNew && !before.includes(to)) way.erase.push(entry);
      continue;
    }
    const hasOld = named.some(
      (one) => one.evr === replaces.evr && one.architecture === replaces.architecture,
    );
    if (hasOld && !hasNew) continue;
    if (!hasOld && !hasNew) throw changedSince(`${name} is gone`);
    if (file === null) {
      throw new ActionError(
        'undo_not_possible',
        `${name} ${replaces.evr} could not be kept, as the plan said. Nothing was changed.`,
      );
    }
    way.put.push({ path: join(folder, file), entry: { name, ...replaces } });
  }
  return way;
}

function changedSince(what: string): ActionError {
  return new ActionError(
    'changed_since',
    `packages were changed after the job: ${what}. Nothing was changed.`,
  );
}

/** Goes back on a copy of rpm's record alone, and looks whether anything would then lack what it needs. */
async function rehearse(context: ActionContext, way: RpmWayBack): Promise<void> {
  await withRecordCopy(context, async (copy) => {
    const before = new Set(await lackingLinesOf(context, copy));
    await goBack(context, way, ['--dbpath', copy, ...ON_COPY]);
    const lacking = (await lackingLinesOf(context, copy)).filter((line) => !before.has(line));
    if (lacking.length === 0) return;
    throw new ActionError(
      'undo_not_possible',
      `other packages need what would go: ${listed(lacking, 5).slice(0, 1500)}. Nothing was changed: take those away first, or leave it.`,
    );
  });
}

/** Returns what rpm says of programs of packages that failed, after which it went on. */
async function goBack(
  context: ActionContext,
  { put, erase }: RpmWayBack,
  options: readonly string[],
): Promise<string[]> {
  const output = options.length === 0 ? 'both' : 'capture';
  const scripts: string[] = [];
  const rpm = async (words: readonly string[]) => {
    const done = await runRpm(context, [...options, ...words], { output });
    scripts.push(...failedScripts(done));
    if (done.exitStatus === 0) return;
    const said = done.err.trim().slice(-1000);
    throw new ActionError('undo_failed', `rpm ended with status ${done.exitStatus}: ${said}`);
  };
  if (put.length > 0) await rpm([...PUT, ...put.map(({ path }) => path)]);
  if (erase.length > 0) await rpm([...ERASE, ...erase.map(nvra)]);
  return scripts;
}

async function judge(
  context: ActionContext,
  recorded: readonly Recorded[],
  way: RpmWayBack,
  scripts: readonly string[],
): Promise<ActionResult> {
  const installed = await listRpms(context);
  const wrong = recorded.filter(({ name, architecture, replaces, to, before }) => {
    const has = (evr: string, arch: string) =>
      installed.some((one) => one.name === name && one.evr === evr && one.architecture === arch);
    if (has(to, architecture) && !before.includes(to)) return true;
    return replaces !== null && !has(replaces.evr, replaces.architecture);
  });
  const packages = await whatBecameOfRpms(context, told(recorded));
  const lacking = await lackingOf(context, packages);
  const failed = scripts.length === 0 ? '' : scriptError(scripts).message;
  if (wrong.length > 0 || lacking !== '' || failed !== '') {
    return notRestored(context, packages, { wrong, audit: `${failed}\n${lacking}`.trim() });
  }
  const put = way.put.map(({ entry }) => entry);
  const stays =
    'Configuration files that were changed since stay, beside or as .rpmsave; users and data that programs of the packages made may remain.';
  return restored(context, packages, whatWasUndone(put, way.erase, stays));
}

function told(recorded: readonly Recorded[]) {
  return recorded.map(({ name, architecture, replaces, to }) => ({
    name,
    architecture: replaces?.architecture ?? architecture,
    before: replaces?.evr ?? null,
    to: replaces === null ? to : replaces.evr,
  }));
}
