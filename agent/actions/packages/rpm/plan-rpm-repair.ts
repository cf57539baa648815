import { stat } from 'node:fs/promises';
import { packagesRepairParameters } from '../../../../proto/actions/packages.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import { checkBackupPlace } from '../../filesystem/backup-place.ts';
import { listed } from '../change-plan.ts';
import { summaryOf } from './plan-rpm-install.ts';
import { ON_COPY, withRecordCopy } from './record-copy.ts';
import { examineRpmChange } from './rpm-change.ts';
import { findRpmFault, type RpmFault } from './rpm-faults.ts';
import { nvra, type RpmManager } from './rpm-manager.ts';
import {
  refuseHolding,
  rpmChangeFindings,
  rpmChangeSteps,
  rpmChangeTarget,
} from './rpm-plan-steps.ts';
import {
  recordFiles,
  recordFolder,
  repairPreconditions,
  runRpm,
  runRpmProgram,
} from './rpm-records.ts';
import { duplicateSteps, rebuildSteps, REBUILD } from './rpm-repair-steps.ts';
import { RpmSession } from './rpm-session.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;
type Part = Omit<PlanBody, 'preconditions'>;

const AGAIN = 'Plan again afterwards: what else is wrong shows only then.';
const BROKEN_BEFORE = 'it would break again what the repair has mended';
const MOST_WANTED = 24;

/** Plans the repair of what hinders everything else; where nothing is wrong, a plan without steps. */
export async function planRpmRepair(
  context: ActionContext,
  manager: RpmManager,
): Promise<PlanBody> {
  const preconditions = await repairPreconditions(context, manager);
  const fault = await findRpmFault(context);
  if (fault === null) {
    const summary = `Nothing to do: rpm finds nothing wrong.`;
    return { target: { fault: 'none' }, summary, findings: [], preconditions, steps: [] };
  }
  return { ...(await planFor(context, manager, fault)), preconditions };
}

async function planFor(
  context: ActionContext,
  manager: RpmManager,
  fault: RpmFault,
): Promise<Part> {
  switch (fault.kind) {
    case 'record_damaged':
      return planRebuild(context, fault);
    case 'duplicates':
      return planDuplicates(context, fault);
    case 'dependencies':
      return planDependencies(context, manager, fault);
  }
}

/** Rehearsed on a copy: what could not be read there cannot be kept, and is not risked. */
async function planRebuild(
  context: ActionContext,
  { said }: Extract<RpmFault, { kind: 'record_damaged' }>,
): Promise<Part> {
  const folder = await recordFolder(context);
  const files = await recordFiles(folder);
  const sizes = await Promise.all(files.map(async (path) => (await stat(path)).size));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  await checkBackupPlace(context, 2 * bytes + 64 * 1024);
  const { before, after } = await withRecordCopy(context, async (copy) => {
    const readable = await namesIn(context, copy);
    const done = await runRpmProgram(context, [...REBUILD, '--dbpath', copy]);
    const names = done.exitStatus === 0 ? await namesIn(context, copy) : null;
    return { before: readable, after: names };
  });
  if (after === null || after.length === 0 || before.some((name) => !after.includes(name))) {
    throw new ActionError(
      'record_damaged',
      `rpm cannot build its record anew from what is left in ${folder}: ${said.slice(0, 800)} Nothing was changed: put a copy of that folder back (openSUSE keeps some in /var/adm/backup/rpmdb).`,
    );
  }
  const hasLabels = (await new TargetFiles().stat('/sys/fs/selinux/enforce')) !== null;
  return {
    target: { fault: 'record_damaged', folder, packages: after.length, hasLabels },
    summary: `rpm's record is damaged: build it anew; it then knows ${after.length} packages. ${AGAIN}`,
    findings: [
      ...said.split('\n').slice(0, 20),
      `${before.length} packages can be read from the record as it is`,
    ].map((line) => line.slice(0, 500)),
    steps: rebuildSteps(context, folder, bytes, hasLabels),
  };
}

/** Every package that can be read from a record, sorted; those that cannot are passed over. */
async function namesIn(context: ActionContext, folder: string): Promise<string[]> {
  const { out } = await runRpm(context, ['--dbpath', folder, '--query', '--all']);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .toSorted();
}

async function planDuplicates(
  context: ActionContext,
  { duplicates }: Extract<RpmFault, { kind: 'duplicates' }>,
): Promise<Part> {
  await withRecordCopy(context, async (copy) => {
    const names = duplicates.flatMap(({ goes }) => goes.map(nvra));
    const done = await runRpm(context, ['--dbpath', copy, ...ON_COPY, '--erase', ...names]);
    if (done.exitStatus === 0) return;
    throw new ActionError(
      'dependencies_unmet',
      `the older versions cannot go: ${done.err.trim().replaceAll(/\s+/g, ' ').slice(0, 1500)} Nothing was changed.`,
    );
  });
  const went = duplicates.flatMap(({ goes }) => goes.map(nvra));
  return {
    target: {
      fault: 'duplicates',
      duplicates: duplicates.map(({ stays, goes }) => ({
        stays: { ...stays },
        goes: goes.map((one) => ({ ...one })),
      })),
    },
    summary: `A change of packages was cut off. Take away what newer versions were to replace: ${listed(went)}. ${AGAIN}`,
    findings: [
      ...duplicates.map(
        ({ stays, goes }) => `${nvra(stays)} is installed beside ${goes.map(nvra).join(', ')}`,
      ),
      'programs of the newer versions that were cut off do not run again by this',
    ].slice(0, 200),
    steps: duplicateSteps(duplicates),
  };
}

async function planDependencies(
  context: ActionContext,
  manager: RpmManager,
  { wanted, needs, conflicts }: Extract<RpmFault, { kind: 'dependencies' }>,
): Promise<Part> {
  const { packages = [], holdServices = [] } = packagesRepairParameters.parse(
    context.spec.parameters,
  );
  if (wanted.length === 0) {
    throw new ActionError(
      'packages_conflict',
      `packages are there that rule each other out: ${listed(conflicts, 5).slice(0, 1500)}. Which of them goes is for a person to decide (rpm --erase --test NAME says what needs it). Nothing was changed.`,
    );
  }
  if (wanted.length > MOST_WANTED) {
    throw new ActionError(
      'too_many_packages',
      `packages lack ${wanted.length} others: ${listed(wanted)}. That is no repair any more. Nothing was changed.`,
    );
  }
  const session = await RpmSession.open(context, manager);
  try {
    const complaints = await session.refresh();
    const change = await examineRpmChange(context, session, wanted);
    const allowed = new Set(packages);
    const missing = change.coming
      .map(({ archive }) => archive.name)
      .filter((name) => !allowed.has(name));
    if (missing.length > 0) {
      throw new ActionError(
        'packages_not_named',
        `the repair needs ${listed(missing, 24)}: name them with the parameter packages. Nothing was changed.`,
      );
    }
    if (change.coming.length === 0) {
      throw new ActionError(
        'dependencies_unmet',
        `${listed(needs, 5)}, and the repositories have nothing that mends it. Nothing was changed.`,
      );
    }
    refuseHolding(change, holdServices);
    await checkBackupPlace(context, 0);
    return {
      target: { ...rpmChangeTarget(wanted, change), fault: 'change' },
      summary: summaryOf(change),
      findings: [
        ...needs.map((line) => line.slice(0, 500)),
        ...conflicts.map((line) => `left to a person: ${line}`.slice(0, 500)),
        ...rpmChangeFindings(manager, change, holdServices, complaints),
      ].slice(0, 200),
      steps: rpmChangeSteps(context, manager, wanted, change, BROKEN_BEFORE),
    };
  } finally {
    await session.close();
  }
}
