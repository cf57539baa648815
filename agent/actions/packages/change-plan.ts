import { z } from 'zod';
import { plannedDisk, plannedPackage } from '../../../proto/actions/packages.ts';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import type { ActionContext } from '../../runner/action.ts';
import { backupFolderInPlan } from '../filesystem/backup-place.ts';
import { counted } from '../filesystem/counted.ts';
import { aptConfiguration, aptGet, SCRATCH_IN_PLAN, STRICT } from './apt-session.ts';
import { LOCK_WAIT_SECONDS } from './lock-wait.ts';
import { DOWNLOAD } from './package-archives.ts';
import type { PackageChange } from './package-change.ts';
import { holdingArgv } from './service-hold.ts';

/** What a plan is for; apply compares it with what it finds. */
export const changeTargetSchema = z.strictObject({
  /** What apt-get is asked for, each package with its exact version. */
  request: z.array(z.string()).max(30),
  packages: z.array(plannedPackage),
  configured: z.array(z.string()),
  services: z.array(z.string()),
  keptConffiles: z.array(z.string()),
  /** Packages whose earlier version cannot be put back. */
  withoutUndo: z.array(z.string()),
  downloadBytes: z.int(),
  disk: z.array(plannedDisk),
});
export type ChangeTarget = z.output<typeof changeTargetSchema>;

export const INSTALL: readonly string[] = [
  ...STRICT,
  '--no-download',
  ...['-o', 'DPkg::Lock::Timeout=30'],
];

/** What a step is called in the plan and in the journal. */
export const changeStepTexts = {
  fetch: {
    id: 'fetch',
    description: 'Fetch the packages and compare each with this plan',
    interrupt: 'now',
  },
  save: {
    id: 'save',
    description: 'Keep what is needed to go back',
    interrupt: 'now',
  },
  install: { id: 'install', description: 'Install the packages', interrupt: 'finish' },
  verify: { id: 'verify', description: 'Ask dpkg whether all is well', interrupt: 'now' },
} as const;

export function changeTarget(request: readonly string[], change: PackageChange): ChangeTarget {
  return {
    request: [...request],
    packages: change.archives.map(({ name, architecture, from, to, bytes, sha256 }) => ({
      name,
      architecture,
      from,
      to,
      bytes,
      sha256,
    })),
    configured: change.configured,
    services: change.services,
    keptConffiles: change.keptConffiles,
    withoutUndo: change.replaced.flatMap(({ entry, keeping }) =>
      keeping.how === 'none' ? [entry.dpkgName] : [],
    ),
    downloadBytes: change.archives.reduce((sum, { bytes }) => sum + bytes, 0),
    disk: change.needs,
  };
}

/**
 * The steps of a change, in order: fetch, save, install, verify.
 *
 * @param noUndo why the change must not be taken back, where that is so
 */
export function changeSteps(
  context: Pick<ActionContext, 'spec'>,
  request: readonly string[],
  change: PackageChange,
  held: readonly string[],
  noUndo: string | null = null,
): PlanStep[] {
  const folder = backupFolderInPlan(context);
  return [
    fetchStep(request),
    saveStep(folder, change),
    installStep(request, change, held, undoOf(folder, change, noUndo)),
    verifyStep(),
  ];
}

function fetchStep(request: readonly string[]): PlanStep {
  return {
    ...changeStepTexts.fetch,
    changes: [
      {
        type: 'diff',
        path: `${SCRATCH_IN_PLAN}/apt.conf`,
        diff: aptConfiguration(SCRATCH_IN_PLAN).replaceAll(/^(?=.)/gm, '+'),
      },
      { type: 'command', argv: aptGet(SCRATCH_IN_PLAN, ['update']) },
      { type: 'command', argv: aptGet(SCRATCH_IN_PLAN, [...DOWNLOAD, ...request]) },
    ],
    declaredFolders: [SCRATCH_IN_PLAN],
    backup: null,
    verify: 'apt checks each package against the signed lists; each has the SHA-256 of this plan.',
    undo: { possible: true, how: 'Nothing of the server is changed; the folder is removed.' },
    interruptBoundSeconds: 5,
  };
}

function saveStep(folder: string, { replaced }: PackageChange): PlanStep {
  const kept = replaced.flatMap(({ entry, keeping }) => {
    if (keeping.how === 'none') return [];
    const how = keeping.how === 'archive' ? 'its archive' : 'packed from its files';
    return [`${entry.name} ${entry.version} (${how})`];
  });
  const bytes = replaced.reduce(
    (sum, { keeping }) => sum + (keeping.how === 'none' ? 0 : keeping.bytes),
    64 * 1024,
  );
  const what =
    kept.length === 0 ? 'which packages were there' : `earlier versions: ${listed(kept)}`;
  return {
    ...changeStepTexts.save,
    changes: [],
    declaredFolders: [folder],
    backup: { what: shorten(what), bytes, where: folder },
    verify: 'dpkg can read each kept package; their digests go into the receipt.',
    undo: { possible: true, how: 'The server is not changed.' },
    interruptBoundSeconds: 5,
  };
}

function installStep(
  request: readonly string[],
  change: PackageChange,
  held: readonly string[],
  undo: PlanStep['undo'],
): PlanStep {
  const argv = aptGet(SCRATCH_IN_PLAN, [...INSTALL, ...request]);
  const isHolding = held.length > 0;
  return {
    ...changeStepTexts.install,
    changes: [
      {
        type: 'command',
        argv: isHolding ? holdingArgv(`${SCRATCH_IN_PLAN}/holding`, argv) : argv,
      },
    ],
    declaredFolders: isHolding ? [...change.writtenFolders, '/usr/sbin'] : change.writtenFolders,
    backup: null,
    verify: `The exit status of apt-get, and the next step. Another program that changes packages is waited for ${LOCK_WAIT_SECONDS} s.`,
    undo,
    interruptBoundSeconds: boundSeconds(change.archives),
  };
}

function undoOf(
  folder: string,
  { archives, replaced }: PackageChange,
  noUndo: string | null,
): PlanStep['undo'] {
  if (noUndo !== null) return { possible: false, why: noUndo };
  const lost = replaced.flatMap(({ keeping }) => (keeping.how === 'none' ? [keeping.why] : []));
  if (lost.length > 0) return { possible: false, why: shorten(listed(lost)) };
  const added = archives.filter(({ from }) => from === null).map(({ name }) => name);
  const how = [
    added.length > 0 ? `Purges what was not there before (${listed(added)}).` : '',
    replaced.length > 0 ? `Puts the earlier versions kept in ${folder} back.` : '',
    'Configuration files stay as they are; users, data and settings that programs of the packages made stay unless their own removal takes them away.',
  ];
  return { possible: true, how: shorten(how.filter((text) => text !== '').join(' ')) };
}

export function verifyStep(): PlanStep {
  return {
    ...changeStepTexts.verify,
    changes: [{ type: 'command', argv: ['dpkg', '--audit'] }],
    declaredFolders: [],
    backup: null,
    verify: 'dpkg finds nothing unfinished, and each package is installed in its planned version.',
    undo: { possible: true, how: 'Nothing is changed.' },
    interruptBoundSeconds: 5,
  };
}

/** What a plan says besides its steps, one line each. */
export function changeFindings(
  change: PackageChange,
  held: readonly string[],
  complaints: readonly string[],
): Plan['findings'] {
  const findings = [
    ...change.services.map((unit) =>
      held.includes(unit) || held.includes(unit.replace(/\.service$/, ''))
        ? `${unit} is held back: it goes on as it is`
        : `${unit} is started, stopped or restarted by its package`,
    ),
    ...change.keptConffiles.map(
      (path) => `${path} was changed on this server and stays; a new version lies beside it`,
    ),
    ...complaints.map((line) => `apt: ${line}`),
  ];
  return findings.slice(0, 200).map((line) => line.slice(0, 500));
}

/** Half an hour for the slowest server, and more for much. */
export function boundSeconds(archives: readonly { bytes: number }[]): number {
  const bytes = archives.reduce((sum, archive) => sum + archive.bytes, 0);
  return Math.min(24 * 3600, 1800 + Math.ceil(bytes / (256 * 1024)) + 30 * archives.length);
}

export function listed(words: readonly string[], most = 12): string {
  const shown = words.slice(0, most).join(', ');
  return words.length <= most
    ? shown
    : `${shown} and ${counted(words.length - most, 'other', 'others')}`;
}

export function shorten(text: string): string {
  return text.length <= 500 ? text : `${text.slice(0, 499)}…`;
}
