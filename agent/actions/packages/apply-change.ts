import type { PackagesOutcome } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { checkBackupPlace, makeBackupFolder } from '../filesystem/backup-place.ts';
import { aptError } from './apt-messages.ts';
import { AptProgress } from './apt-progress.ts';
import { AptSession } from './apt-session.ts';
import {
  changeStepTexts,
  changeTarget,
  INSTALL,
  listed,
  type ChangeTarget,
} from './change-plan.ts';
import { saveForChange } from './change-record.ts';
import { keptMarks } from './conffiles.ts';
import { awaitPackageLocks } from './lock-wait.ts';
import { examineChange, type PackageChange } from './package-change.ts';
import { audit, packagesResult, whatBecameOf } from './package-outcome.ts';
import { refreshLists } from './plan-install.ts';
import { clearLeftHold, ServiceHold } from './service-hold.ts';
import { requireSameChange, requireUnchanged } from './stale-plan.ts';

/** In the log before there is anything to be cut off: afterwards nobody is left to say it. */
const IF_CUT_OFF =
  'Should this be cut off: undoing the job takes it back; packages.repair goes on with it (by hand: dpkg --configure -a).';

/** Carries out a planned change: fetches and compares, keeps what it replaces, installs, verifies. */
export async function applyChange(
  context: ActionContext,
  plan: Plan,
  target: ChangeTarget,
  held: readonly string[],
  done: PackagesOutcome,
): Promise<ActionResult> {
  await clearLeftHold(context);
  await requireUnchanged(plan);
  const session = await AptSession.open(context);
  try {
    let change: PackageChange | undefined;
    await context.step(changeStepTexts.fetch, async (confirm) => {
      await confirm([]);
      await refreshLists(context, session);
      change = await examineChange(context, session, target.request);
      requireSameChange(target, changeTarget(target.request, change));
    });
    await context.step(changeStepTexts.save, async (confirm) => {
      const { archives, replaced } = change!;
      await checkBackupPlace(
        context,
        replaced.reduce(
          (sum, { keeping }) => sum + (keeping.how === 'none' ? 0 : keeping.bytes),
          64 * 1024,
        ),
      );
      const folder = await makeBackupFolder(context);
      await confirm(await saveForChange(context, archives, replaced, folder));
    });
    return await install(context, session, plan, change!, target, held, done);
  } finally {
    await session.close();
  }
}

async function install(
  context: ActionContext,
  session: AptSession,
  plan: Plan,
  change: PackageChange,
  target: ChangeTarget,
  held: readonly string[],
  done: PackagesOutcome,
): Promise<ActionResult> {
  const names = change.replaced.map(({ entry }) => entry.dpkgName);
  const marksBefore = await keptMarks(context, names);
  let failure: ActionError | null = null;
  let exitStatus: number | null = null;
  await context
    .step(changeStepTexts.install, async (confirm) => {
      await confirm([]);
      await awaitPackageLocks(context);
      await requireUnchanged(plan);
      context.note(IF_CUT_OFF);
      const run = await runInstall(context, session, target.request, held);
      ({ exitStatus, failure } = run);
      if (failure !== null) throw failure;
    })
    .catch((error: unknown) => {
      // Only what apt itself could not do leaves something to be told; everything else changed nothing.
      if (failure === null || error !== failure) throw error;
    });
  const planned = change.archives.map(({ name, architecture, from }) => ({
    name,
    architecture,
    before: from,
  }));
  let unfinished = '';
  let packages = await whatBecameOf(context, planned);
  await context.step(changeStepTexts.verify, async (confirm) => {
    await confirm([]);
    unfinished = await audit(context);
    packages = await whatBecameOf(context, planned);
  });
  const marks = await keptMarks(context, names);
  const keptConffiles = [...marks].flatMap(([path, at]) =>
    marksBefore.get(path) === at ? [] : [path],
  );
  const wrong = packages.filter(
    (entry, at) => entry.after !== target.packages[at]!.to || entry.state !== 'installed',
  );
  const isGood = failure === null && unfinished === '' && wrong.length === 0;
  const detail = isGood
    ? goodDetail(target, keptConffiles, held)
    : badDetail(
        failure,
        wrong.map(({ name, state }) => `${name} is ${state}`),
        unfinished,
      );
  const result = packagesResult({
    outcome: isGood ? done : 'incomplete',
    packages,
    keptConffiles,
    heldServices: held,
    audit: unfinished,
    exitStatus,
    detail,
  });
  context.note(detail);
  const reason = (failure as ActionError | null)?.reason ?? 'packages_unfinished';
  return { succeeded: isGood, reason: isGood ? null : reason, exitStatus: null, result };
}

async function runInstall(
  context: ActionContext,
  session: AptSession,
  request: readonly string[],
  held: readonly string[],
): Promise<{ exitStatus: number | null; failure: ActionError | null }> {
  const hold = held.length === 0 ? null : await ServiceHold.begin(held, session.folder);
  try {
    const progress = new AptProgress(context, 'installing');
    const argv = session.argv([...INSTALL, ...progress.words, ...request]);
    const run = await session.runWith(hold?.around(argv) ?? argv, {
      output: 'both',
      onDescriptor: (bytes) => progress.take(bytes),
    });
    if (run.exitStatus === 0) return { exitStatus: 0, failure: null };
    const error = aptError(run);
    const why = progress.errors.map(({ name, message }) => `${name}: ${message}`);
    const message = why.length === 0 ? error.message : `${listed(why, 5)}. ${error.message}`;
    return { exitStatus: run.exitStatus, failure: new ActionError(error.reason, message) };
  } finally {
    await hold?.end();
  }
}

function goodDetail(
  { packages, configured }: ChangeTarget,
  keptConffiles: readonly string[],
  held: readonly string[],
): string {
  const names = packages.map(({ name, to }) => `${name} ${to}`);
  return [
    `Installed as planned: ${listed([...names, ...configured])}.`,
    keptConffiles.length > 0
      ? `Kept as they were: ${listed(keptConffiles)}; the packages' own versions lie beside them as .dpkg-dist.`
      : '',
    held.length > 0 ? `Held back and still running as before: ${listed(held)}.` : '',
  ]
    .filter((text) => text !== '')
    .join(' ');
}

function badDetail(failure: ActionError | null, wrong: readonly string[], unfinished: string) {
  return [
    failure === null ? '' : failure.message,
    wrong.length > 0 ? `Not as planned: ${listed(wrong)}.` : '',
    unfinished === ''
      ? ''
      : 'dpkg has unfinished packages: packages.repair goes on with them (by hand: dpkg --configure -a).',
    'Undoing this job takes back what it did.',
  ]
    .filter((text) => text !== '')
    .join(' ');
}
