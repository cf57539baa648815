import { rm, writeFile } from 'node:fs/promises';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { ActionError, type ActionContext, type ActionResult } from '../../runner/action.ts';
import { triedChanges } from '../../target/offline/tried-changes.ts';
import { tryInside, type TriedSystem } from '../../target/offline/try-inside.ts';
import type { Target } from '../../target/open-target.ts';
import { applyChangeSteps, planChangeSteps } from '../files/change-steps.ts';
import { contentDigest } from '../files/file-state.ts';
import { putBackUnlessStopped } from '../files/put-back.ts';
import {
  backupFolderInPlan,
  checkBackupPlace,
  makeBackupFolder,
} from '../filesystem/backup-place.ts';
import { requireSamePlan, type PlanBody } from '../same-plan.ts';
import { packageEnvironment } from './apt-session.ts';
import { listed } from './change-plan.ts';
import { faultOf, findWork, readState, type DiskWork } from './disk-work.ts';
import { RECORD_MAX_BYTES, type RecordedPackage } from './dpkg-record.ts';
import { DPKG_STATUS } from './installed-packages.ts';
import { packagesResult } from './package-outcome.ts';
import { CONFIGURE } from './repair-plan-steps.ts';
import { POLICY_FILE } from './service-hold.ts';
import { changesToTake } from './take-over.ts';
import { releaseArgv } from './wrong-holds.ts';

const RUN_WITHIN_MS = 30 * 60_000;
const RECORD_BYTES = 64 * 1024;
/** Where a package may write; the folders of the system that are none of these are left alone. */
const DECLARED = [
  '/bin',
  '/boot',
  '/etc',
  '/lib',
  '/lib32',
  '/lib64',
  '/opt',
  '/sbin',
  '/usr',
  '/var',
];
/** No service may start, stop or restart: nothing of the system runs (invoke-rc.d(8)). */
const POLICY = '#!/bin/sh\nexit 101\n';

const texts = {
  try: {
    id: 'try',
    description: 'Let dpkg of the system do it over its files, with everything it writes in memory',
    interrupt: 'now',
  },
  take: {
    id: 'take',
    description: 'Save every file that dpkg has written anew, and write it to the disk',
    interrupt: 'finish',
  },
  verify: {
    id: 'verify',
    description: "Look whether dpkg's record is sound; if not, put everything back",
    interrupt: 'finish',
  },
} as const;

/** Plans what is to be done to packages of a system on disks that are not whole. */
export async function planFinish(context: ActionContext, target: Target): Promise<PlanBody> {
  const body = await planOf(context, target, await findWork(context, target));
  if (body.steps.length > 0) await checkBackupPlace(context, RECORD_BYTES);
  return body;
}

/**
 * Lets the system's own dpkg do it over a view of its files that is thrown away, and takes over what it
 * wrote once all is well: a package whose program fails, or a power cut, leaves nothing half done.
 */
export async function applyFinish(
  context: ActionContext,
  target: Target,
  plan: Plan | null,
): Promise<ActionResult> {
  const work = await findWork(context, target);
  const body = await planOf(context, target, work);
  requireSamePlan(plan, body);
  if (body.steps.length === 0) return finished(context, 'nothing_to_do', body.summary, work, work);
  const steps = await tryOut(context, target, work);
  const folder = await makeBackupFolder(context);
  try {
    await applyChangeSteps(context, steps, steps.preconditions, folder);
    await context.step(texts.verify, async (confirm) => {
      await confirm([]);
      const fault = faultOf(await readState(target.files), work.record);
      if (fault !== null) throw new ActionError('verify_failed', fault);
    });
  } catch (error) {
    const { detail, reason } = await putBackUnlessStopped(context, target, folder, error);
    return finished(context, 'rolled_back', detail, work, work, reason);
  }
  const after = { ...work, record: (await readState(target.files)).record };
  return finished(context, 'repaired', body.summary, work, after);
}

async function tryOut(context: ActionContext, target: Target, work: DiskWork) {
  let policy = POLICY_FILE;
  return tryInside(
    context,
    target,
    (system) =>
      context.step(texts.try, async (confirm) => {
        await confirm([]);
        policy = await forbidServices(system);
        for (const argv of commandsOf(work)) await runDpkgInside(context, system, argv);
        const fault = faultOf(await readState(system.files), work.record);
        if (fault !== null)
          throw new ActionError('packages_unfinished', `${fault} Nothing was changed.`);
      }),
    async (layers) => {
      const changes = await triedChanges(context, target.files, layers);
      const taken = await changesToTake(
        changes.filter(({ path }) => path !== policy),
        { files: target.files, folders: DECLARED },
      );
      const planned = await planChangeSteps(context, target.root, [
        { ...texts.take, changes: taken, verify: 'The next step.' },
      ]);
      await checkBackupPlace(context, planned.backupBytes + RECORD_BYTES);
      return planned;
    },
  );
}

/** Puts a policy in place of the system's own, in memory; returns where. */
async function forbidServices({ root }: TriedSystem): Promise<string> {
  const at = POLICY_FILE.lastIndexOf('/');
  const name = POLICY_FILE.slice(at + 1);
  const folder = await root.openFolder(POLICY_FILE.slice(0, at));
  try {
    await rm(folder.entry(name), { force: true });
    await writeFile(folder.entry(name), POLICY, { mode: 0o755, flag: 'wx' });
    return `${folder.path}/${name}`;
  } finally {
    await folder.close();
  }
}

async function runDpkgInside(
  context: ActionContext,
  system: TriedSystem,
  argv: readonly string[],
): Promise<void> {
  const done = await system.runInside(argv, {
    environment: packageEnvironment,
    output: 'both',
    timeoutMs: RUN_WITHIN_MS,
    signal: context.signal,
  });
  context.signal.throwIfAborted();
  if (done.exitStatus === 0) return;
  const said = done.err.trim().split('\n').slice(-6).join(' ').slice(0, 1000);
  throw new ActionError(
    'configure_failed',
    `dpkg ended with ${done.timedOut ? 'nothing after a long time' : (done.exitStatus ?? done.signal)}: ${said} Nothing was changed.`,
  );
}

function commandsOf({ archives, released }: DiskWork): string[][] {
  const release = released.length > 0 ? [releaseArgv(released)] : [];
  const install = ['dpkg', '--force-confold', '--install', ...archives.map(({ path }) => path)];
  return [...release, ...(archives.length > 0 ? [install] : []), [...CONFIGURE]];
}

async function planOf(context: ActionContext, target: Target, work: DiskWork): Promise<PlanBody> {
  const { record, isInterrupted, unfinished, archives, released, findings } = work;
  const isNeeded = isInterrupted || unfinished.length > 0 || archives.length > 0;
  const names = [...archives, ...unfinished].map(({ name }) => name);
  const status = (await target.files.read(DPKG_STATUS, RECORD_MAX_BYTES)) ?? '';
  return {
    target: { ...target.ids, fault: isNeeded ? 'unfinished' : 'none' },
    summary: !isNeeded
      ? 'Nothing to do: every package is whole and has what it needs.'
      : archives.length > 0
        ? `${released.length > 0 ? `Hold ${listed(released)} no longer. ` : ''}Install from archives that the system keeps: ${listed(archives.map(({ name }) => name))}. Nothing is removed.`
        : `Finish what dpkg was not through with: ${listed(names) || 'its record'}. Nothing is removed.`,
    findings,
    preconditions: [
      {
        what: `dpkg's record of ${record.length} packages, ${DPKG_STATUS}`,
        digest: contentDigest(Buffer.from(status)),
      },
      ...archives.map(({ path, digest }) => ({ what: path, digest })),
    ],
    steps: isNeeded ? stepsOf(context, work) : [],
  };
}

function stepsOf(context: ActionContext, work: DiskWork): PlanStep[] {
  const unchanged = { possible: true, how: 'Nothing is changed.' } as const;
  return [
    {
      ...texts.try,
      changes: commandsOf(work).map((argv) => ({ type: 'command', argv })),
      declaredFolders: [],
      backup: null,
      verify: 'dpkg ends with 0; every package is then whole, has what it needs, and none is gone.',
      undo: unchanged,
      interruptBoundSeconds: 5,
    },
    {
      ...texts.take,
      changes: [],
      declaredFolders: DECLARED,
      backup: {
        what: 'every file before it is written: content, mode, owner and attributes',
        bytes: 0,
        where: backupFolderInPlan(context),
      },
      verify: 'The next step.',
      undo: {
        possible: true,
        how: 'Every file is put back as it was, and what is new is removed.',
      },
      interruptBoundSeconds: 300,
    },
    {
      ...texts.verify,
      changes: [],
      declaredFolders: [],
      backup: null,
      verify: "dpkg's record names no package that is not whole or lacks another.",
      undo: unchanged,
      interruptBoundSeconds: 60,
    },
  ];
}

function finished(
  context: ActionContext,
  outcome: 'repaired' | 'nothing_to_do' | 'rolled_back',
  detail: string,
  before: Pick<DiskWork, 'record'>,
  after: Pick<DiskWork, 'record'>,
  reason: string | null = null,
): ActionResult {
  context.note(detail);
  const stateOf = (record: readonly RecordedPackage[], name: string, architecture: string) =>
    record.find((entry) => entry.name === name && entry.architecture === architecture);
  const packages = after.record.flatMap(({ name, architecture, version, state }) => {
    const old = stateOf(before.record, name, architecture);
    if (old?.version === version && old.state === state) return [];
    return [{ name, architecture, before: old?.version ?? null, after: version, state }];
  });
  const result = packagesResult({ outcome, packages, detail });
  return { succeeded: reason === null, reason, exitStatus: null, result };
}
