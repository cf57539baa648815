import { chmod, copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { packagesRepairParameters } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { syncDirectory } from '../../connection/durable-file.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { makeBackupFolder } from '../filesystem/backup-place.ts';
import { syncAndDigest } from '../filesystem/durable-write.ts';
import { runDpkg } from './apt-session.ts';
import { applyChange } from './apply-change.ts';
import { changeTargetSchema, listed } from './change-plan.ts';
import { DPKG_STATUS, listPackages } from './installed-packages.ts';
import { awaitPackageLocks } from './lock-wait.ts';
import { audit, packagesResult, whatBecameOf } from './package-outcome.ts';
import { CONFIGURE, repairStepTexts } from './repair-plan-steps.ts';
import { clearLeftHold, ServiceHold } from './service-hold.ts';
import { requireUnchanged } from './stale-plan.ts';
import { releaseArgv } from './wrong-holds.ts';

/** Carries out a plan of `planRepair`. A plan without steps changes nothing. */
export async function applyRepair(
  context: ActionContext,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'a repair needs a plan');
  const { holdServices = [] } = packagesRepairParameters.parse(context.spec.parameters);
  const { fault, ...rest } = plan.target;
  if (fault === 'change') {
    const target = changeTargetSchema.parse(rest);
    return applyChange(context, plan, target, holdServices, 'repaired');
  }
  await clearLeftHold(context);
  await requireUnchanged(plan);
  if (plan.steps.length === 0) {
    const detail = 'Nothing to do: dpkg and apt find nothing wrong.';
    context.note(detail);
    const result = packagesResult({ outcome: 'nothing_to_do', detail });
    return { succeeded: true, reason: null, exitStatus: null, result };
  }
  if (fault === 'record_lost') return restoreRecord(context, plan, z.string().parse(rest['copy']));
  if (fault === 'held') return release(context, plan, z.array(z.string()).parse(rest['release']));
  return configure(context, plan, holdServices);
}

async function release(
  context: ActionContext,
  plan: Plan,
  names: readonly string[],
): Promise<ActionResult> {
  await context.step(repairStepTexts.release, async (confirm) => {
    await confirm([]);
    await awaitPackageLocks(context);
    await requireUnchanged(plan);
    const done = await runDpkg(context, releaseArgv(names), { output: 'both' });
    if (done.exitStatus !== 0) {
      throw new ActionError('hold_not_released', `apt-mark: ${done.err.trim().slice(0, 500)}`);
    }
  });
  const unfinished = await verifyAudit(context);
  const left = (await listPackages(context)).filter(
    ({ name, isHeld }) => isHeld && names.includes(name),
  );
  const isGood = left.length === 0;
  const detail = isGood
    ? `${listed(names)} is held no longer. Plan again: what it kept others from comes next.`
    : `${listed(left.map(({ name }) => name))} is still held.`;
  context.note(detail);
  const outcome = isGood ? 'repaired' : 'incomplete';
  const result = packagesResult({ outcome, audit: unfinished, detail });
  const reason = isGood ? null : 'hold_not_released';
  return { succeeded: isGood, reason, exitStatus: null, result };
}

async function restoreRecord(
  context: ActionContext,
  plan: Plan,
  copy: string,
): Promise<ActionResult> {
  await context.step(repairStepTexts.record, async (confirm) => {
    await awaitPackageLocks(context);
    await requireUnchanged(plan);
    const kept = join(await makeBackupFolder(context), 'status');
    const there = await readFile(DPKG_STATUS).catch(() => null);
    if (there !== null) await copyFile(DPKG_STATUS, kept);
    await confirm(there === null ? [] : [await syncAndDigest(kept)]);
    const draft = `${DPKG_STATUS}-intervene`;
    await copyFile(copy, draft);
    await chmod(draft, 0o644);
    await syncAndDigest(draft);
    await rename(draft, DPKG_STATUS);
    await syncDirectory(dirname(DPKG_STATUS));
  });
  const count = (await listPackages(context)).length;
  const unfinished = await verifyAudit(context);
  const more =
    unfinished === '' ? '' : ' The copy is of a moment when dpkg was at work: plan again.';
  const detail = `dpkg knows ${count} packages again, from ${copy}.${more}`;
  context.note(detail);
  const result = packagesResult({ outcome: 'repaired', audit: unfinished, detail });
  return { succeeded: true, reason: null, exitStatus: null, result };
}

async function configure(
  context: ActionContext,
  plan: Plan,
  held: readonly string[],
): Promise<ActionResult> {
  const before = (await listPackages(context)).filter(
    ({ state }) => state !== 'installed' && state !== 'config-files',
  );
  let failure: ActionError | null = null;
  let exitStatus: number | null = null;
  await context
    .step(repairStepTexts.configure, async (confirm) => {
      await confirm([]);
      await awaitPackageLocks(context);
      await requireUnchanged(plan);
      const done = await runHolding(context, held);
      ({ exitStatus } = done);
      if (exitStatus === 0) return;
      failure = new ActionError('configure_failed', lastWords(done.err, exitStatus));
      throw failure;
    })
    .catch((error: unknown) => {
      if (failure === null || error !== failure) throw error;
    });
  const packages = before.map(({ name, architecture, version }) => ({
    name,
    architecture,
    before: version,
  }));
  const text = `dpkg has finished: ${listed(before.map(({ name }) => name))}.`;
  const unfinished = await verifyAudit(context);
  const became = await whatBecameOf(context, packages);
  const isGood = failure === null && unfinished === '';
  const why = (failure as ActionError | null)?.message ?? 'dpkg still has unfinished packages.';
  const detail = isGood ? text : `${why} Plan the repair again to see what is left.`;
  context.note(detail);
  const result = packagesResult({
    outcome: isGood ? 'repaired' : 'incomplete',
    packages: became,
    heldServices: held,
    audit: unfinished,
    exitStatus,
    detail,
  });
  const reason = (failure as ActionError | null)?.reason ?? 'packages_unfinished';
  return { succeeded: isGood, reason: isGood ? null : reason, exitStatus: null, result };
}

async function verifyAudit(context: ActionContext): Promise<string> {
  let unfinished = '';
  await context.step(repairStepTexts.verify, async (confirm) => {
    await confirm([]);
    unfinished = await audit(context);
  });
  return unfinished;
}

async function runHolding(context: ActionContext, held: readonly string[]) {
  const folder = join(context.directory, 'hold');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const hold = held.length === 0 ? null : await ServiceHold.begin(held, folder);
  try {
    return await runDpkg(context, hold?.around(CONFIGURE) ?? CONFIGURE, { output: 'both' });
  } finally {
    await hold?.end();
    await rm(folder, { recursive: true, force: true });
  }
}

function lastWords(err: string, exitStatus: number | null): string {
  const said = err.trim().split('\n').slice(-6).join(' ').slice(0, 1000);
  return `dpkg ended with status ${exitStatus}: ${said}`;
}
