import { copyFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import type { ChangedPackage } from '../../../../proto/actions/packages.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import { makeBackupFolder } from '../../filesystem/backup-place.ts';
import { syncAndDigest } from '../../filesystem/durable-write.ts';
import { changeTargetSchema, listed } from '../change-plan.ts';
import { awaitPackageLocks } from '../lock-wait.ts';
import { packagesResult } from '../package-outcome.ts';
import { requireUnchanged } from '../stale-plan.ts';
import { applyRpmChange, locksOf } from './apply-rpm-install.ts';
import { damageSaid, findRpmFault } from './rpm-faults.ts';
import { nvra, type RpmManager } from './rpm-manager.ts';
import { failedScripts, scriptError } from './rpm-messages.ts';
import { whatBecameOfRpms } from './rpm-outcome.ts';
import {
  listRpms,
  recordFiles,
  repairPreconditions,
  runRpm,
  runRpmProgram,
} from './rpm-records.ts';
import { eraseArgvs, labelArgv, REBUILD, rpmRepairTexts } from './rpm-repair-steps.ts';

const rebuildTarget = z.strictObject({
  fault: z.literal('record_damaged'),
  folder: z.string(),
  packages: z.int(),
  hasLabels: z.boolean(),
});
const rpmName = z.strictObject({ name: z.string(), architecture: z.string(), evr: z.string() });
const duplicatesTarget = z.strictObject({
  fault: z.literal('duplicates'),
  duplicates: z.array(z.strictObject({ stays: rpmName, goes: z.array(rpmName) })),
});

/** Carries out a plan of `planRpmRepair`. A plan without steps changes nothing. */
export async function applyRpmRepair(
  context: ActionContext,
  manager: RpmManager,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'a repair needs a plan');
  const unchanged = () => requireUnchanged(plan, () => repairPreconditions(context, manager));
  const { fault, ...rest } = plan.target;
  if (fault === 'change') {
    const target = changeTargetSchema.parse(rest);
    return applyRpmChange(context, manager, target, unchanged, 'repaired');
  }
  await unchanged();
  if (plan.steps.length === 0) {
    const detail = 'Nothing to do: rpm finds nothing wrong.';
    context.note(detail);
    const result = packagesResult({ outcome: 'nothing_to_do', detail });
    return { succeeded: true, reason: null, exitStatus: null, result };
  }
  return fault === 'record_damaged'
    ? rebuild(context, manager, rebuildTarget.parse(plan.target), unchanged)
    : endChange(context, manager, duplicatesTarget.parse(plan.target), unchanged);
}

async function rebuild(
  context: ActionContext,
  manager: RpmManager,
  { folder, packages, hasLabels }: z.output<typeof rebuildTarget>,
  unchanged: () => Promise<void>,
): Promise<ActionResult> {
  await context.step(rpmRepairTexts.save, async (confirm) => {
    await awaitPackageLocks(context, await locksOf(context, manager));
    const kept = await makeBackupFolder(context);
    const backups = [];
    for (const path of await recordFiles(folder)) {
      const copy = join(kept, basename(path));
      await copyFile(path, copy);
      backups.push(await syncAndDigest(copy));
    }
    await unchanged();
    await confirm(backups);
  });
  await context.step(rpmRepairTexts.rebuild, async (confirm) => {
    await confirm([]);
    const done = await runRpmProgram(context, REBUILD, { output: 'both' });
    if (done.exitStatus !== 0) {
      throw new ActionError(
        'rebuild_failed',
        `rpmdb ended with ${done.exitStatus}: ${done.err.trim().slice(-1000)}`,
      );
    }
    if (!hasLabels) return;
    const labelled = await runRpmProgram(context, labelArgv(folder), { output: 'both' });
    if (labelled.exitStatus !== 0) context.note(`restorecon failed: ${labelled.err.trim()}`);
  });
  let said = '';
  let count = 0;
  await context.step(rpmRepairTexts.verify, async (confirm) => {
    await confirm([]);
    said = await damageSaid(context);
    count = said === '' ? (await listRpms(context)).length : 0;
  });
  const isGood = said === '' && (await allNames(context)) >= packages;
  return ended(
    context,
    isGood,
    isGood
      ? `rpm's record is built anew: it knows ${count} packages.`
      : `rpm's record is still not whole: ${said} The one before is kept in this job's backups.`,
    said,
  );
}

/** With keys of repositories, which rpm keeps as packages: as the plan has counted. */
async function allNames(context: ActionContext): Promise<number> {
  const { out } = await runRpm(context, ['--query', '--all']);
  return out.split('\n').filter((line) => line !== '').length;
}

async function endChange(
  context: ActionContext,
  manager: RpmManager,
  { duplicates }: z.output<typeof duplicatesTarget>,
  unchanged: () => Promise<void>,
): Promise<ActionResult> {
  let failure = '';
  await context.step(rpmRepairTexts.duplicates, async (confirm) => {
    await confirm([]);
    await awaitPackageLocks(context, await locksOf(context, manager));
    await unchanged();
    for (const argv of eraseArgvs(duplicates)) {
      const done = await runRpmProgram(context, argv, { output: 'both' });
      const scripts = failedScripts(done);
      if (done.exitStatus !== 0) failure = `rpm failed: ${done.err.trim().slice(-1000)}`;
      else if (scripts.length > 0) failure = scriptError(scripts).message;
    }
  });
  let altered: string[] = [];
  let fault = null as Awaited<ReturnType<typeof findRpmFault>>;
  await context.step(rpmRepairTexts.verify, async (confirm) => {
    await confirm([]);
    fault = await findRpmFault(context);
    const stay = duplicates.map(({ stays }) => nvra(stays));
    const done = await runRpm(context, ['--verify', '--nodeps', '--nosignature', ...stay]);
    altered = alteredFiles(done.out);
  });
  const isLeft = fault?.kind === 'duplicates';
  const isGood = failure === '' && !isLeft && altered.length === 0;
  const names = duplicates.map(({ stays }) => nvra(stays));
  const detail = isGood
    ? `Each is there once again: ${listed(names)}.`
    : [
        failure,
        isLeft ? 'Some versions are still there twice.' : '',
        altered.length === 0
          ? ''
          : `Files are not as their packages brought them: ${listed(altered, 5)}; install those packages anew (by hand: ${manager.program} ${manager.program === 'dnf' ? 'reinstall' : 'install --force'} NAME).`,
      ]
        .filter((text) => text !== '')
        .join(' ');
  const told = duplicates.map(({ stays, goes }) => ({
    name: stays.name,
    architecture: stays.architecture,
    before: goes[0]?.evr ?? null,
    to: stays.evr,
  }));
  return ended(context, isGood, detail, '', await whatBecameOfRpms(context, told));
}

/** Of `rpm --verify`: files that are gone or have another content, but for configuration files. */
export function alteredFiles(out: string): string[] {
  return out.split('\n').flatMap((line) => {
    const [, flags, kind, path] = /^(missing|\S{8,9})\s+(?:([a-z])\s+)?(\/.*)$/.exec(line) ?? [];
    if (path === undefined || kind === 'c' || kind === 'g') return [];
    return flags === 'missing' || /^S|^..5/.test(flags!) ? [path] : [];
  });
}

function ended(
  context: ActionContext,
  succeeded: boolean,
  detail: string,
  audit: string,
  packages: readonly ChangedPackage[] = [],
): ActionResult {
  context.note(detail);
  const outcome = succeeded ? 'repaired' : 'incomplete';
  const result = packagesResult({ outcome, packages, audit, detail });
  const reason = succeeded ? null : 'packages_unfinished';
  return { succeeded, reason, exitStatus: null, result };
}
