import { lstat, statfs, unlink } from 'node:fs/promises';
import {
  JOURNAL_KEPT_MEBIBYTES,
  reclaimParameters,
  type ReclaimResult,
} from '../../../../proto/actions/reclaim.ts';
import type { Plan, PlanStep } from '../../../../proto/documents/kinds/plan.ts';
import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
} from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import { withRepairTarget } from '../../files/repair-target.ts';
import { awaitPackageLocks } from '../../packages/lock-wait.ts';
import { requireSamePlan, type PlanBody } from '../../same-plan.ts';
import { counted } from '../counted.ts';
import {
  findReclaimable,
  pathOf,
  type LookedThrough,
  type Reclaimable,
  type Staying,
} from './find-reclaimable.ts';
import type { Candidate } from './reclaimable-kinds.ts';

const MIB = 1024 * 1024;
/** A plan lists files by name so far; more of them by their folders. */
const LISTED_MAX_CHARACTERS = 6_000;
const PATHS_IN_COMMAND = 60;
const COMMANDS_MAX = 60;
const FOLDERS_MAX = 16;
const NAMED_MAX = 3;
/** As many as a plan has room for. */
const FINDINGS_MAX = 200;
const SIGNAL_EVERY = 200;
const BOUND_SECONDS = 5;

/**
 * Removes what a plan names, of kinds that come back by themselves or that nobody misses, and nothing else. It
 * is not kept: a copy elsewhere would need the room that is missing, and be worth little.
 */
export const filesystemReclaim: ActionImplementation = {
  plan: (context) =>
    withRepairTarget(context, { write: false }, async (target) => {
      return bodyOf(target, await find(context, target));
    }),
  apply: (context, plan) =>
    withRepairTarget(context, { write: true }, (target) => apply(context, target, plan)),
};

function find(context: ActionContext, { root }: Target): Promise<LookedThrough> {
  const { also = [], keepJournal } = reclaimParameters.parse(context.spec.parameters);
  const keepJournalBytes = (keepJournal ?? JOURNAL_KEPT_MEBIBYTES) * MIB;
  return findReclaimable(context, root, { also, keepJournalBytes });
}

function bodyOf({ ids }: Target, { goes: all, stays }: LookedThrough): PlanBody {
  const bytes = all.reduce((sum, one) => sum + one.bytes, 0);
  const count = all.reduce((sum, { files }) => sum + files.length, 0);
  return {
    target: ids,
    summary:
      count === 0
        ? 'Nothing to do: there is nothing here that may be removed unasked.'
        : `Remove ${counted(count, 'file', 'files')}, ${inMebibytes(bytes)} in all; they cannot be put back.`,
    findings: [...all.map(describe), ...stays.map(describeStaying)].slice(0, FINDINGS_MAX),
    preconditions: all.map(({ kind, digest }) => ({ what: kind.many, digest })),
    steps: all.map(stepOf),
  };
}

/** `12 rotated logs, 110.4 MiB: /var/log/shop.log.1 (100.0 MiB), …` */
function describe({ kind, files, bytes }: Reclaimable): string {
  const largest = files
    .toSorted((a, b) => b.bytes - a.bytes)
    .slice(0, NAMED_MAX)
    .map((file) => `${pathOf(file)} (${inMebibytes(file.bytes)})`);
  const more = files.length > NAMED_MAX ? ', …' : '';
  const what = counted(files.length, kind.one, kind.many);
  return `${what}, ${inMebibytes(bytes)}: ${largest.join(', ')}${more}`.slice(0, 500);
}

/** `Stays: 2 rotated logs, by their names no logs: /var/log/blog.1, …` */
function describeStaying({ kind, why, files }: Staying): string {
  if (files.length === 0) return `Stays: ${kind.many}, ${why}`.slice(0, 500);
  const some = files.slice(0, NAMED_MAX).map(pathOf).join(', ');
  const more = files.length > NAMED_MAX ? ', …' : '';
  const what = counted(files.length, kind.one, kind.many);
  return `Stays: ${what}, ${why}: ${some}${more}`.slice(0, 500);
}

function stepOf({ kind, files, bytes }: Reclaimable): PlanStep {
  return {
    id: kind.id,
    description: `Remove ${counted(files.length, kind.one, kind.many)} (${inMebibytes(bytes)})`,
    ...changesOf(files),
    backup: null,
    verify: 'They are gone, and nothing else is.',
    undo: { possible: false, why: kind.undo },
    interrupt: 'now',
    interruptBoundSeconds: BOUND_SECONDS,
  };
}

/** What a person would type; the files themselves are bound by the digest of the precondition. */
function changesOf(files: readonly Candidate[]): Pick<PlanStep, 'changes' | 'declaredFolders'> {
  const paths = files.map(pathOf);
  const characters = paths.reduce((sum, path) => sum + path.length, 0);
  if (characters <= LISTED_MAX_CHARACTERS && paths.length <= PATHS_IN_COMMAND * COMMANDS_MAX) {
    const changes: PlanStep['changes'] = [];
    for (let at = 0; at < paths.length; at += PATHS_IN_COMMAND) {
      const argv = ['rm', '--', ...paths.slice(at, at + PATHS_IN_COMMAND)];
      changes.push({ type: 'command', argv });
    }
    return { changes, declaredFolders: [] };
  }
  const folders = [...new Set(files.map(({ folder }) => folder))].toSorted();
  const tops = folders.length > FOLDERS_MAX ? [commonFolder(folders)] : folders;
  return {
    changes: tops.map((folder) => ({
      type: 'command',
      argv: ['rm', '--', `${folder}/…`, `(${counted(paths.length, 'file', 'files')})`],
    })),
    declaredFolders: tops,
  };
}

function commonFolder(folders: readonly string[]): string {
  const parts = folders.map((folder) => folder.split('/'));
  const [first = []] = parts;
  let length = 0;
  while (length < first.length && parts.every((one) => one[length] === first[length])) length++;
  return first.slice(0, length).join('/') || '/';
}

async function apply(
  context: ActionContext,
  target: Target,
  plan: Plan | null,
): Promise<ActionResult> {
  const found = await find(context, target);
  const { goes: all } = found;
  const body = bodyOf(target, found);
  requireSamePlan(plan, body);
  // Whoever installs packages now has use for what was downloaded.
  if (target.kind === 'live' && all.some(({ kind }) => kind.id === 'package-archives')) {
    await awaitPackageLocks(context);
  }
  let files = 0;
  let bytes = 0;
  for (const [at, { kind, files: those, ...one }] of all.entries()) {
    await context.step(body.steps[at]!, async (confirm) => {
      await confirm([]);
      await removeAll(context, target, those);
    });
    files += those.length;
    bytes += one.bytes;
    context.progress('removing', Math.floor((100 * (at + 1)) / all.length), kind.many);
  }
  const room = await roomLeft(target);
  return end(context, {
    outcome: files === 0 ? 'nothing_to_do' : 'reclaimed',
    files,
    bytes,
    detail: files === 0 ? body.summary : `Removed ${counted(files, 'file', 'files')}. ${room}`,
  });
}

/** Throws ActionError `changed_since_plan` where another file has taken the name since. */
async function removeAll(
  { signal }: ActionContext,
  { root }: Target,
  files: readonly Candidate[],
): Promise<void> {
  for (const [path, those] of Map.groupBy(files, ({ folder }) => folder)) {
    const folder = await root.openFolder(path);
    try {
      if (folder.path !== path) throw changed(path);
      for (const [at, { name, changedAt }] of those.entries()) {
        if (at % SIGNAL_EVERY === 0) signal.throwIfAborted();
        const found = await lstat(folder.entry(name), { bigint: true });
        if (!found.isFile() || found.mtimeNs !== changedAt)
          throw changed(pathOf({ folder: path, name }));
        await unlink(folder.entry(name));
      }
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

function changed(path: string): ActionError {
  return new ActionError('changed_since_plan', `${path} has changed since it was planned`);
}

/** Of the file systems that were cleaned, as df(1) counts. */
async function roomLeft({ root }: Target): Promise<string> {
  const told = new Set<string>();
  for (const path of ['/', '/var', '/boot']) {
    const folder = await root.openFolder(path).catch(() => null);
    if (folder === null) continue;
    try {
      const { bavail, bsize, ffree } = await statfs(`/proc/self/fd/${folder.descriptor}/.`);
      told.add(`${inMebibytes(bavail * bsize)} and ${ffree} inodes`);
    } finally {
      await folder.close();
    }
  }
  return `Free now: ${[...told].join('; ')}.`;
}

function end(context: ActionContext, result: ReclaimResult): ActionResult {
  context.note(result.detail);
  return { succeeded: true, reason: null, exitStatus: null, result };
}

function inMebibytes(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`;
}
