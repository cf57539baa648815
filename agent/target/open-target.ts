import { join } from 'node:path';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { CommandResult } from '../process/command.ts';
import { ActionError, type ActionContext } from '../runner/action.ts';
import { requireExpected } from './offline/expected-system.ts';
import { findSystems, type FoundSystem, type SystemSearch } from './offline/find-systems.ts';
import { mountSystem, type MountedSystem } from './offline/mount-system.ts';
import { withDisks, type OpenDisks } from './offline/open-disks.ts';
import {
  coverArguments,
  EMPTY_FOLDERS,
  requireCoverable,
  runInside,
  type InsideOptions,
} from './offline/run-inside.ts';
import { notFound, type StorageProblem } from './offline/stack/storage-problem.ts';
import { describeVolume } from './offline/volumes.ts';
import { TargetFiles } from './target-files.ts';
import { TargetRoot } from './target-root.ts';

/** What lies on the disks of an offline target. */
export interface TargetLayout extends OpenDisks, Pick<MountedSystem, 'parts' | 'missing'> {
  system: FoundSystem;
  /** Other systems that lie on the same disks. */
  otherSystems: readonly FoundSystem[];
  unreadable: SystemSearch['problems'];
}

/** The operating system that an action works on: the running one, or one found on disks. */
export interface Target {
  kind: 'live' | 'offline';
  /** For `target` of a plan: says which system this is, the same in every job. */
  ids: Record<string, JsonValue>;
  /** For writing; paths are the target's own. */
  root: TargetRoot;
  files: TargetFiles;
  /** Null for the running system. */
  layout: TargetLayout | null;
  /** Runs a program of the target itself; see `offline/run-inside.ts`. */
  runInside: (argv: readonly string[], options?: InsideOptions) => Promise<CommandResult>;
}

/**
 * Opens the target of the job's order. Without `write` an offline one is mounted read-only and no journal is
 * replayed, so that not a byte of its disks changes. Everything is taken apart when `body` is over, and by
 * the kernel when the job is killed.
 *
 * Throws ActionError: `no_system`, `system_ambiguous`, `system_missing`, in the place of the first and the last
 * the reason of what could not be opened (`StorageProblem`), and those of `withDisks`.
 */
export async function withTarget<T>(
  context: ActionContext,
  { write }: { write: boolean },
  body: (target: Target) => Promise<T>,
): Promise<T> {
  if (context.spec.target === null) return body(liveTarget(context));
  return withDisks(context, { write }, async (open) =>
    body(await openSystem(context, open, write)),
  );
}

/** Mounts the system that the order means, of those on disks that are open already; throws as `withTarget`. */
export async function openSystem(
  context: ActionContext,
  open: OpenDisks,
  write: boolean,
): Promise<Target> {
  const search = await findSystems(context, open.volumes, open.place);
  const system = chooseSystem(search, open.problems, context.spec.target?.['filesystem']);
  requireExpected(system, context.spec.expect);
  const point = join(open.place, 'root');
  const mounted = await mountSystem(context, open.mounts, system, open.volumes, point, { write });
  return offlineTarget(context, open, search, system, mounted);
}

function liveTarget(context: ActionContext): Target {
  const root = new TargetRoot('/');
  const files = new TargetFiles('/');
  return {
    kind: 'live',
    ids: {},
    root,
    files,
    layout: null,
    async runInside(argv, { covers = [], readOnly, ...options } = {}) {
      if (covers.length === 0 && readOnly !== true) return context.run(argv, options);
      await requireCoverable({ root, files }, covers);
      // A /run of its own, so that no name has to be made in the server's.
      const around = ['--ro-bind', '/', '/', '--dev-bind', '/dev', '/dev', ...EMPTY_FOLDERS];
      const powers = ['--cap-drop', 'CAP_SYS_ADMIN'];
      const words = ['bwrap', ...around, ...coverArguments(covers), ...powers, '--', ...argv];
      return context.run(words, options);
    },
  };
}

function offlineTarget(
  context: ActionContext,
  open: OpenDisks,
  search: SystemSearch,
  system: FoundSystem,
  mounted: MountedSystem,
): Target {
  return {
    kind: 'offline',
    ids: {
      offline: { disk: open.named, filesystem: system.id },
      system: system.name ?? 'an unknown system',
      ...(system.root.layers.length > 0 && { storage: describeVolume(system.root) }),
    },
    root: mounted.root,
    files: mounted.files,
    layout: {
      ...open,
      system,
      parts: mounted.parts,
      missing: mounted.missing,
      otherSystems: search.systems.filter((other) => other !== system),
      unreadable: search.problems,
    },
    runInside: (argv, options) => runInside(context, mounted, open, argv, options),
  };
}

/** The one that was named, or the only one; never one of several. */
function chooseSystem(
  { systems, problems }: SystemSearch,
  closed: readonly StorageProblem[],
  named: unknown,
): FoundSystem {
  const list = systems.map(describe).join('; ');
  if (typeof named === 'string') {
    const chosen = systems.filter(({ id }) => id === named);
    if (chosen.length === 1) return chosen[0]!;
    if (chosen.length === 0) {
      const found = `the system ${named} is on none of the disks. Found: ${list || 'none'}`;
      throw notFound('system_missing', found, closed);
    }
    throw new ActionError(
      'system_ambiguous',
      `the system ${named} is there more than once: a disk and its copy? Found: ${list}`,
    );
  }
  if (systems.length === 1) return systems[0]!;
  if (systems.length > 1) {
    throw new ActionError(
      'system_ambiguous',
      `several systems are on the disks; name one with --system: ${list}`,
    );
  }
  const unreadable = problems.map(({ volume, why }) => `${volume.name}: ${why}`).join('; ');
  throw notFound(
    'no_system',
    `no operating system was found on the disks${unreadable && `. Not readable: ${unreadable}`}`,
    closed,
  );
}

function describe({ id, name, hostname, root }: FoundSystem): string {
  const where = describeVolume(root);
  return `${id} (${name ?? 'unknown'}${hostname === null ? '' : `, ${hostname}`}, ${where})`;
}
