import { packagesInstallParameters } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { checkBackupPlace } from '../filesystem/backup-place.ts';
import { counted } from '../filesystem/counted.ts';
import { aptComplaints, aptError } from './apt-messages.ts';
import { AptSession } from './apt-session.ts';
import { changeFindings, changeSteps, changeTarget } from './change-plan.ts';
import { listPackages, packagePreconditions } from './installed-packages.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { lostRecord } from './lost-record.ts';
import { isInterrupted } from './package-faults.ts';
import { examineChange, type PackageChange } from './package-change.ts';

type PlanBody = Omit<Plan, 'server' | 'action' | 'actionVersion' | 'parameters'>;

/**
 * Plans by simulating with lists of its own, and by looking into the very archives that would be installed.
 * A plan for packages that are there already has no steps.
 */
export async function planInstall(context: ActionContext): Promise<PlanBody> {
  const { packages, holdServices = [] } = packagesInstallParameters.parse(context.spec.parameters);
  if ((await lostRecord(new TargetFiles())) !== null) {
    throw new ActionError(
      'record_lost',
      "dpkg's record of packages is empty: packages.repair puts a copy back. Nothing was changed.",
    );
  }
  if (await isInterrupted()) {
    throw new ActionError(
      'dpkg_interrupted',
      'an earlier change of packages was cut off: packages.repair ends it. Nothing was changed.',
    );
  }
  const preconditions = await packagePreconditions();
  const session = await AptSession.open(context);
  try {
    const complaints = await refreshLists(context, session);
    const change = await examineChange(context, session, ['install', ...packages]).catch(
      (error: unknown) => {
        throw withComplaints(error, complaints);
      },
    );
    await requireKnown(context, packages, change);
    const request = ['install', ...pinned(packages, change)];
    if (change.archives.length === 0 && change.configured.length === 0) {
      return nothingToDo(packages, preconditions, change, complaints);
    }
    await checkBackupPlace(context, 0);
    return {
      target: { ...changeTarget(request, change) },
      summary: summaryOf(change),
      findings: changeFindings(change, holdServices, complaints),
      preconditions,
      steps: changeSteps(context, request, change, holdServices),
    };
  } finally {
    await session.close();
  }
}

/**
 * Brings the session's lists up to date. A source that cannot be reached leaves its old list in use and is
 * told; sources that apt cannot even read end it.
 */
export async function refreshLists(context: ActionContext, session: AptSession): Promise<string[]> {
  context.progress('refreshing', null, 'lists of packages');
  const done = await session.run(['update'], { output: 'both', signal: context.signal });
  const error = aptError(done);
  if (done.exitStatus !== 0 && error.reason === 'sources_unreadable') throw error;
  return aptComplaints(done).slice(0, 20);
}

/** The error, with why the lists of packages may be old. */
export function withComplaints(error: unknown, complaints: readonly string[]): unknown {
  if (!(error instanceof ActionError) || complaints.length === 0) return error;
  const said = `${error.message} The lists may be old: ${complaints.join('; ')}`;
  return new ActionError(error.reason, said.slice(0, 2000));
}

/** The names as asked for, each with the version it would get; those that stay as they are left out. */
function pinned(names: readonly string[], { archives }: PackageChange): string[] {
  return names.flatMap((given) => {
    const name = nameOf(given);
    const planned = archives.find((archive) => archive.name === name);
    return planned === undefined ? [] : [`${name}=${planned.to}`];
  });
}

/** apt takes some words for more than names; whatever is not there afterwards was not meant. */
async function requireKnown(
  context: ActionContext,
  names: readonly string[],
  { archives, configured }: PackageChange,
): Promise<void> {
  const coming = new Set([...archives.map(({ name }) => name), ...configured]);
  const missing = names.map(nameOf).filter((name) => !coming.has(name));
  if (missing.length === 0) return;
  const there = new Set(
    (await listPackages(context))
      .filter(({ state }) => state !== 'config-files')
      .map(({ name }) => name),
  );
  const unknown = missing.filter((name) => !there.has(name));
  if (unknown.length === 0) return;
  throw new ActionError(
    'package_not_found',
    `no package is named ${unknown.join(', ')} in the server's sources. Nothing was changed.`,
  );
}

function nameOf(given: string): string {
  return given.split('=', 1)[0]!;
}

function nothingToDo(
  packages: readonly string[],
  preconditions: PlanBody['preconditions'],
  change: PackageChange,
  complaints: readonly string[],
): PlanBody {
  return {
    target: { ...changeTarget(['install'], change) },
    summary: `Nothing to do: ${packages.join(', ')} ${packages.length === 1 ? 'is' : 'are'} installed, and the server's sources have nothing newer.`,
    findings: changeFindings(change, [], complaints),
    preconditions,
    steps: [],
  };
}

export function summaryOf(change: PackageChange): string {
  const added = change.archives.filter(({ from }) => from === null).length;
  const replaced = change.archives.length - added;
  const parts = [
    added > 0 ? `install ${counted(added, 'package', 'packages')} anew` : '',
    replaced > 0 ? `bring ${counted(replaced, 'package', 'packages')} to another version` : '',
    change.configured.length > 0
      ? `finish ${counted(change.configured.length, 'package', 'packages')}`
      : '',
  ].filter((text) => text !== '');
  const text = parts.join(', ');
  return `${text[0]!.toUpperCase()}${text.slice(1)}. Nothing is removed; configuration files stay as they are.`;
}
