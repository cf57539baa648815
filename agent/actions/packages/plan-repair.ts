import { stat } from 'node:fs/promises';
import { packagesRepairParameters } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { checkBackupPlace } from '../filesystem/backup-place.ts';
import { AptSession } from './apt-session.ts';
import { changeFindings, changeSteps, changeTarget, listed } from './change-plan.ts';
import { DPKG_STATUS, packagePreconditions, type InstalledPackage } from './installed-packages.ts';
import { examineChange, type PackageChange } from './package-change.ts';
import { findFault, type PackageFault } from './package-faults.ts';
import { refreshLists, summaryOf } from './plan-install.ts';
import { configureSteps, recordSteps, releaseSteps } from './repair-plan-steps.ts';
import { holdsToRelease, wrongHoldText } from './wrong-holds.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;

const BROKEN_BEFORE = 'it would break again what the repair has mended';
const AGAIN = 'Plan again afterwards: what else is wrong shows only then.';

/** Plans the repair of what hinders everything else; where nothing is wrong, a plan without steps. */
export async function planRepair(context: ActionContext): Promise<PlanBody> {
  const { holdServices = [] } = packagesRepairParameters.parse(context.spec.parameters);
  const preconditions = await packagePreconditions();
  const session = await AptSession.open(context);
  try {
    const fault = await findFault(context, session);
    if (fault === null) {
      const summary = 'Nothing to do: dpkg and apt find nothing wrong.';
      return { target: { fault: 'none' }, summary, findings: [], preconditions, steps: [] };
    }
    const body = await planFor(context, session, fault, holdServices);
    return { ...body, preconditions };
  } finally {
    await session.close();
  }
}

async function planFor(
  context: ActionContext,
  session: AptSession,
  fault: PackageFault,
  held: readonly string[],
): Promise<Omit<PlanBody, 'preconditions'>> {
  switch (fault.kind) {
    case 'record_lost':
      return planRecord(context, fault);
    case 'interrupted':
      return {
        target: { fault: fault.kind },
        summary: `dpkg was cut off; it goes on where it was. ${AGAIN}`,
        findings: ['dpkg was interrupted while it changed packages'],
        steps: configureSteps(held),
      };
    case 'unfinished':
      return {
        target: { fault: fault.kind },
        summary: `Finish what dpkg was not through with: ${named(fault.packages)}.`,
        findings: fault.audit
          .split('\n')
          .filter((line) => line !== '')
          .slice(0, 100)
          .map(cut),
        steps: configureSteps(held),
      };
    case 'reinstall': {
      const names = fault.packages.map(({ name }) => name);
      if (names.length > 24) throw tooMany(fault.packages);
      const found = `cannot be used until installed anew: ${named(fault.packages)}`;
      return planChange(context, session, ['install', '--reinstall', ...names], found, held);
    }
    case 'held': {
      const names = holdsToRelease(context, fault.wrong);
      return {
        target: { fault: fault.kind, release: names },
        summary: `Hold ${listed(names, 24)} no longer. ${AGAIN}`,
        findings: fault.wrong.map(wrongHoldText).slice(0, 100),
        steps: releaseSteps(names),
      };
    }
    case 'dependencies':
      return planChange(context, session, ['--fix-broken', 'install'], fault.said, held);
  }
}

async function planRecord(
  context: ActionContext,
  fault: Extract<PackageFault, { kind: 'record_lost' }>,
): Promise<Omit<PlanBody, 'preconditions'>> {
  if (fault.copy === null) {
    throw new ActionError(
      'record_lost',
      `dpkg's record ${DPKG_STATUS} is lost, and no copy on the server fits the ${fault.there} packages whose files are there.`,
    );
  }
  const { size } = await stat(DPKG_STATUS).catch(() => ({ size: 0 }));
  await checkBackupPlace(context, size + 64 * 1024);
  return {
    target: { fault: fault.kind, copy: fault.copy },
    summary: `dpkg's record is lost: take ${fault.copy}, which knows ${fault.known} packages. ${AGAIN}`,
    findings: [`${DPKG_STATUS} names no package, but the files of ${fault.there} are there`],
    steps: recordSteps(context, fault.copy, size),
  };
}

async function planChange(
  context: ActionContext,
  session: AptSession,
  request: readonly string[],
  found: string,
  held: readonly string[],
): Promise<Omit<PlanBody, 'preconditions'>> {
  const complaints = await refreshLists(context, session);
  const change = await examineChange(context, session, request);
  requireNamed(context, change);
  await checkBackupPlace(context, 0);
  return {
    target: { ...changeTarget(request, change), fault: 'change' },
    summary: summaryOf(change),
    findings: [cut(found), ...changeFindings(change, held, complaints)].slice(0, 200),
    steps: changeSteps(context, request, change, held, BROKEN_BEFORE),
  };
}

/** Nothing comes onto the server that neither the client named nor was there in the same version. */
function requireNamed(context: ActionContext, { archives }: PackageChange): void {
  const { packages = [] } = packagesRepairParameters.parse(context.spec.parameters);
  const allowed = new Set(packages);
  const missing = archives
    .filter(({ name, from, to }) => from !== to && !allowed.has(name))
    .map(({ name }) => name);
  if (missing.length === 0) return;
  throw new ActionError(
    'packages_not_named',
    `the repair needs ${listed(missing, 24)}: name them with the parameter packages. Nothing was changed.`,
  );
}

function tooMany(packages: readonly InstalledPackage[]): ActionError {
  return new ActionError(
    'too_many_packages',
    `${packages.length} packages must be installed anew: ${named(packages)}. That is no repair any more.`,
  );
}

function named(packages: readonly InstalledPackage[]): string {
  return listed(packages.map(({ name }) => name));
}

function cut(text: string): string {
  return text.slice(0, 500);
}
