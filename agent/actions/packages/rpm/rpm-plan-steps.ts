import type { Plan, PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { backupFolderInPlan } from '../../filesystem/backup-place.ts';
import { SCRATCH_IN_PLAN } from '../apt-session.ts';
import {
  boundSeconds,
  changeStepTexts,
  listed,
  shorten,
  type ChangeTarget,
} from '../change-plan.ts';
import { LOCK_WAIT_SECONDS } from '../lock-wait.ts';
import type { RpmChange } from './rpm-change.ts';
import { inCommands, nvra, type RpmManager } from './rpm-manager.ts';

/** As those of a change with apt; only who is asked at the end is another. */
export const rpmStepTexts = {
  ...changeStepTexts,
  verify: { ...changeStepTexts.verify, description: 'Ask rpm whether all is well' },
} as const;

export function rpmChangeTarget(request: readonly string[], change: RpmChange): ChangeTarget {
  const packages = change.coming.map(({ archive, replaces }) => ({
    name: archive.name,
    architecture: archive.architecture,
    from: replaces?.evr ?? null,
    to: archive.evr,
    bytes: archive.bytes,
    sha256: archive.sha256,
  }));
  return {
    request: [...request],
    packages,
    configured: [],
    services: change.services,
    keptConffiles: change.keptConffiles,
    withoutUndo: change.unavailable.map(nvra),
    downloadBytes: packages.reduce((sum, { bytes }) => sum + bytes, 0),
    disk: change.needs,
  };
}

/**
 * The steps of a change, in order: fetch, save, install, verify.
 *
 * @param noUndo why the change must not be taken back, where that is so
 */
export function rpmChangeSteps(
  context: Pick<ActionContext, 'spec'>,
  manager: RpmManager,
  request: readonly string[],
  change: RpmChange,
  noUndo: string | null = null,
): PlanStep[] {
  const folder = backupFolderInPlan(context);
  const kept = change.coming.flatMap(({ replaces }) =>
    replaces === null || change.unavailable.includes(replaces) ? [] : [replaces],
  );
  const command = (argv: string[]) => ({ type: 'command', argv }) as const;
  return [
    {
      ...rpmStepTexts.fetch,
      changes: [
        command(manager.refresh(SCRATCH_IN_PLAN)),
        command(manager.fetch(SCRATCH_IN_PLAN, request)),
      ],
      declaredFolders: [SCRATCH_IN_PLAN, ...manager.records],
      backup: null,
      verify: `${manager.program} compares each package with the repositories' lists; each has the SHA-256 of this plan.`,
      undo: { possible: true, how: 'Nothing of the server is changed; the folder is removed.' },
      interruptBoundSeconds: 5,
    },
    {
      ...rpmStepTexts.save,
      changes: inCommands(kept).map((some) => command(manager.fetchEarlier(SCRATCH_IN_PLAN, some))),
      declaredFolders: [folder, SCRATCH_IN_PLAN],
      backup: {
        what: shorten(
          kept.length === 0
            ? 'which packages were there'
            : `earlier versions: ${listed(kept.map(nvra))}`,
        ),
        bytes: kept.reduce((sum, { bytes }) => sum + bytes, 64 * 1024),
        where: folder,
      },
      verify: 'rpm can read each kept package; their digests go into the receipt.',
      undo: { possible: true, how: 'The server is not changed.' },
      interruptBoundSeconds: 5,
    },
    {
      ...rpmStepTexts.install,
      changes: [command(manager.install(SCRATCH_IN_PLAN, request))],
      declaredFolders: change.writtenFolders,
      backup: null,
      verify: `The exit status of ${manager.program}, and the next step. Another program that changes packages is waited for ${LOCK_WAIT_SECONDS} s.`,
      undo: undoOf(folder, change, noUndo),
      interruptBoundSeconds: boundSeconds(change.coming.map(({ archive }) => archive)),
    },
    {
      ...rpmStepTexts.verify,
      changes: inCommands(change.coming).map((some) =>
        command([...VERIFY, ...some.map(({ archive }) => nvra(archive))]),
      ),
      declaredFolders: [],
      backup: null,
      verify: 'rpm finds nothing lacking, and each package is installed in its planned version.',
      undo: { possible: true, how: 'Nothing is changed.' },
      interruptBoundSeconds: 5,
    },
  ];
}

/** rpm(8): of the packages that came, only whether all they need is there. */
export const VERIFY: readonly string[] = [
  ...['rpm', '--verify', '--nofiles', '--noscripts', '--nodigest', '--nosignature'],
];

function undoOf(
  folder: string,
  { coming, unavailable }: RpmChange,
  noUndo: string | null,
): PlanStep['undo'] {
  if (noUndo !== null) return { possible: false, why: noUndo };
  if (unavailable.length > 0) {
    const names = listed(unavailable.map(nvra));
    const why = `no repository has these any more, so that they cannot be put back: ${names}`;
    return { possible: false, why: shorten(why) };
  }
  const added = coming.filter(({ replaces }) => replaces === null);
  const how = [
    added.length > 0
      ? `Takes away what was not there before (${listed(added.map(({ archive }) => archive.name))}).`
      : '',
    added.length < coming.length ? `Puts the earlier versions kept in ${folder} back.` : '',
    'Configuration files that were changed stay, beside or as .rpmsave; users, data and settings that programs of the packages made stay.',
  ];
  return { possible: true, how: shorten(how.filter((text) => text !== '').join(' ')) };
}

/** What a plan says besides its steps, one line each. */
export function rpmChangeFindings(
  { program }: RpmManager,
  change: RpmChange,
  held: readonly string[],
  complaints: readonly string[],
): Plan['findings'] {
  const unsigned = change.coming.filter(({ archive }) => !archive.isSigned);
  const findings = [
    ...change.services.map(
      (unit) =>
        `${unit} may be started, stopped or restarted by programs of the packages; nothing here can hold it back`,
    ),
    ...held.map((name) => `${name} is named by no program of these packages`),
    ...change.keptConffiles.map(
      (path) =>
        `${path} was changed on this server and stays; a new version lies beside it as .rpmnew`,
    ),
    ...(unsigned.length === 0
      ? []
      : [
          `rpm has no key of who signed ${listed(unsigned.map(({ archive }) => archive.name))}: ${program} goes by what is set for the repository (gpgcheck, gpgkey), and may bring its key in`,
        ]),
    ...complaints.map((line) => `${program}: ${line}`),
  ];
  return findings.slice(0, 200).map((line) => line.slice(0, 500));
}

/** rpm has nothing that asks before a program of a package touches a service. */
export function refuseHolding({ callingScripts }: RpmChange, held: readonly string[]): void {
  const touched = held.filter((name) => callingScripts.includes(name.replace(/\.service$/, '')));
  if (touched.length === 0) return;
  throw new ActionError(
    'hold_not_possible',
    `programs of these packages name ${touched.join(', ')}, and on a server with rpm nothing can hold a service back. Nothing was changed: order it without holdServices when a restart may happen.`,
  );
}
