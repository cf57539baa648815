import { packagesInstallParameters } from '../../../../proto/actions/packages.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { checkBackupPlace } from '../../filesystem/backup-place.ts';
import { counted } from '../../filesystem/counted.ts';
import { withComplaints } from '../plan-install.ts';
import { examineRpmChange, type RpmChange } from './rpm-change.ts';
import type { RpmManager } from './rpm-manager.ts';
import {
  refuseHolding,
  rpmChangeFindings,
  rpmChangeSteps,
  rpmChangeTarget,
} from './rpm-plan-steps.ts';
import { listRpms, rpmPreconditions } from './rpm-records.ts';
import { RpmSession } from './rpm-session.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;

/**
 * Plans by letting the server's own package manager simulate, and by looking into the very packages that
 * would be installed. A plan for packages that are there already has no steps.
 */
export async function planRpmInstall(
  context: ActionContext,
  manager: RpmManager,
): Promise<PlanBody> {
  const { packages, holdServices = [] } = packagesInstallParameters.parse(context.spec.parameters);
  const preconditions = await rpmPreconditions(context, manager);
  const session = await RpmSession.open(context, manager);
  try {
    const complaints = await session.refresh();
    const words = packages.map((given) => {
      const [name, evr = null] = given.split('=', 2);
      return manager.word(name!, evr);
    });
    const change = await examineRpmChange(context, session, words).catch((error: unknown) => {
      throw withComplaints(error, complaints);
    });
    await requireKnown(context, packages, change);
    refuseHolding(change, holdServices);
    const asked = new Set(packages.map(nameOf));
    const request = change.coming
      .filter(({ archive }) => asked.has(archive.name))
      .map(({ archive }) => manager.exactWord(archive));
    const isNothing = change.coming.length === 0;
    if (!isNothing) await checkBackupPlace(context, 0);
    return {
      target: { ...rpmChangeTarget(request, change) },
      summary: isNothing ? nothingToDo(packages) : summaryOf(change),
      findings: rpmChangeFindings(manager, change, holdServices, complaints),
      preconditions,
      steps: isNothing ? [] : rpmChangeSteps(context, manager, request, change),
    };
  } finally {
    await session.close();
  }
}

/** dnf and zypper take words for more than names; whatever is not there afterwards was not meant. */
async function requireKnown(
  context: ActionContext,
  given: readonly string[],
  { coming }: RpmChange,
): Promise<void> {
  const known = new Set([
    ...coming.map(({ archive }) => archive.name),
    ...(await listRpms(context)).map(({ name }) => name),
  ]);
  const unknown = given.map(nameOf).filter((name) => !known.has(name));
  if (unknown.length === 0) return;
  throw new ActionError(
    'package_not_found',
    `no package is named ${unknown.join(', ')} in the server's repositories. Nothing was changed.`,
  );
}

function nameOf(given: string): string {
  return given.split('=', 1)[0]!;
}

function nothingToDo(packages: readonly string[]): string {
  return `Nothing to do: ${packages.join(', ')} ${packages.length === 1 ? 'is' : 'are'} installed, and the server's repositories have nothing newer.`;
}

export function summaryOf({ coming }: RpmChange): string {
  const added = coming.filter(({ replaces }) => replaces === null).length;
  const parts = [
    added > 0 ? `install ${counted(added, 'package', 'packages')} anew` : '',
    coming.length > added
      ? `bring ${counted(coming.length - added, 'package', 'packages')} to another version`
      : '',
  ].filter((text) => text !== '');
  const text = parts.join(', ');
  return `${text[0]!.toUpperCase()}${text.slice(1)}. Nothing is removed; configuration files stay as they are.`;
}
