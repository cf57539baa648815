import type { PackagesOutcome } from '../../../../proto/actions/packages.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../../runner/action.ts';
import { checkBackupPlace, makeBackupFolder } from '../../filesystem/backup-place.ts';
import { changeTargetSchema, listed, type ChangeTarget } from '../change-plan.ts';
import { awaitPackageLocks } from '../lock-wait.ts';
import { packagesResult } from '../package-outcome.ts';
import { requireSameChange, requireUnchanged } from '../stale-plan.ts';
import { asTold, saveForRpmChange } from './rpm-change-record.ts';
import { examineRpmChange, type RpmChange } from './rpm-change.ts';
import type { RpmManager } from './rpm-manager.ts';
import { failedScripts, scriptError } from './rpm-messages.ts';
import { lackingOf, whatBecameOfRpms } from './rpm-outcome.ts';
import { rpmChangeTarget, rpmStepTexts } from './rpm-plan-steps.ts';
import { recordFolder, rpmPreconditions } from './rpm-records.ts';
import { RpmSession } from './rpm-session.ts';

/** In the log before there is anything to be cut off: afterwards nobody is left to say it. */
const IF_CUT_OFF = 'Should this be cut off: undoing the job takes it back.';

/** Carries out a plan of `planRpmInstall`. A plan without steps changes nothing. */
export async function applyRpmInstall(
  context: ActionContext,
  manager: RpmManager,
  plan: Plan | null,
): Promise<ActionResult> {
  if (plan === null) throw new ActionError('plan_missing', 'an installation needs a plan');
  const target = changeTargetSchema.parse(plan.target);
  const unchanged = () => requireUnchanged(plan, () => rpmPreconditions(context, manager));
  await unchanged();
  if (plan.steps.length === 0) {
    const detail = 'Nothing to do: the packages are as the plan has found them.';
    context.note(detail);
    const result = packagesResult({ outcome: 'nothing_to_do', detail });
    return { succeeded: true, reason: null, exitStatus: null, result };
  }
  return applyRpmChange(context, manager, target, unchanged, 'installed');
}

/**
 * Carries out a planned change: fetches and compares, keeps what it replaces, installs, verifies.
 *
 * @param unchanged throws where what the plan rests on is not as it was
 */
export async function applyRpmChange(
  context: ActionContext,
  manager: RpmManager,
  target: ChangeTarget,
  unchanged: () => Promise<void>,
  done: PackagesOutcome,
): Promise<ActionResult> {
  await unchanged();
  const session = await RpmSession.open(context, manager);
  try {
    let change: RpmChange | undefined;
    await context.step(rpmStepTexts.fetch, async (confirm) => {
      await confirm([]);
      await session.refresh();
      change = await examineRpmChange(context, session, target.request);
      requireSameChange(target, rpmChangeTarget(target.request, change));
    });
    await context.step(rpmStepTexts.save, async (confirm) => {
      const bytes = change!.coming.reduce((sum, { replaces }) => sum + (replaces?.bytes ?? 0), 0);
      await checkBackupPlace(context, bytes + 64 * 1024);
      const folder = await makeBackupFolder(context);
      await confirm(await saveForRpmChange(context, session, change!, folder));
    });
    const { exitStatus, failure } = await install(context, session, target, unchanged);
    return await judge(context, change!, target, { exitStatus, failure, done });
  } finally {
    await session.close();
  }
}

async function install(
  context: ActionContext,
  session: RpmSession,
  target: ChangeTarget,
  unchanged: () => Promise<void>,
): Promise<{ exitStatus: number | null; failure: ActionError | null }> {
  const { manager } = session;
  let exitStatus: number | null = null;
  let failure: ActionError | null = null;
  await context
    .step(rpmStepTexts.install, async (confirm) => {
      await confirm([]);
      await awaitPackageLocks(context, await locksOf(context, manager));
      await unchanged();
      context.note(IF_CUT_OFF);
      const done = await session.install(target.request);
      ({ exitStatus } = done);
      const scripts = failedScripts(done);
      if (exitStatus !== 0) failure = manager.error(done);
      else if (scripts.length > 0) failure = scriptError(scripts);
      if (failure !== null) throw failure;
    })
    .catch((error: unknown) => {
      // Only what the manager itself could not do leaves something to be told; all else changed nothing.
      if (failure === null || error !== failure) throw error;
    });
  return { exitStatus, failure };
}

/** Where rpm and the package manager hold their locks. */
export async function locksOf(
  context: Pick<ActionContext, 'run'>,
  { locks }: RpmManager,
): Promise<string[]> {
  return [`${await recordFolder(context)}/.rpm.lock`, ...locks];
}

async function judge(
  context: ActionContext,
  change: RpmChange,
  target: ChangeTarget,
  {
    exitStatus,
    failure,
    done,
  }: { exitStatus: number | null; failure: ActionError | null; done: PackagesOutcome },
): Promise<ActionResult> {
  const told = asTold(change);
  let packages = await whatBecameOfRpms(context, told);
  let lacking = '';
  await context.step(rpmStepTexts.verify, async (confirm) => {
    await confirm([]);
    packages = await whatBecameOfRpms(context, told);
    lacking = await lackingOf(context, packages);
  });
  const wrong = packages.filter(
    ({ after, state }, at) => after !== target.packages[at]!.to || state !== 'installed',
  );
  const isGood = failure === null && lacking === '' && wrong.length === 0;
  const detail = isGood ? goodDetail(target) : badDetail(failure, wrong, lacking);
  context.note(detail);
  const result = packagesResult({
    outcome: isGood ? done : 'incomplete',
    packages,
    keptConffiles: isGood ? target.keptConffiles : [],
    audit: lacking,
    exitStatus,
    detail,
  });
  const reason = failure?.reason ?? 'packages_unfinished';
  return { succeeded: isGood, reason: isGood ? null : reason, exitStatus: null, result };
}

function goodDetail({ packages, keptConffiles }: ChangeTarget): string {
  const kept =
    keptConffiles.length === 0
      ? ''
      : ` Kept as they were: ${listed(keptConffiles)}; the packages' own versions lie beside them as .rpmnew.`;
  return `Installed as planned: ${listed(packages.map(({ name, to }) => `${name} ${to}`))}.${kept}`;
}

function badDetail(
  failure: ActionError | null,
  wrong: readonly { name: string; after: string | null; state: string }[],
  lacking: string,
): string {
  const states = wrong.map(({ name, after, state }) => `${name} is ${state} ${after ?? ''}`.trim());
  return [
    failure === null ? '' : failure.message,
    wrong.length > 0 ? `Not as planned: ${listed(states)}.` : '',
    lacking === '' ? '' : 'Some of them lack what they need.',
    'Undoing this job takes back what it did.',
  ]
    .filter((text) => text !== '')
    .join(' ');
}
