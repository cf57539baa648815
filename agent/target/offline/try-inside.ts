import { chmod, lchown, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CommandResult } from '../../process/command.ts';
import type { ActionContext } from '../../runner/action.ts';
import { TargetFiles } from '../target-files.ts';
import { TargetRoot } from '../target-root.ts';
import type { Target, TargetLayout } from '../open-target.ts';
import { runInside, type InsideOptions } from './run-inside.ts';
import type { MountedPart } from './mount-system.ts';

/** A system of which nothing is changed: what its programs write lies in memory. */
export interface TriedSystem {
  root: TargetRoot;
  files: TargetFiles;
  runInside: (argv: readonly string[], options?: InsideOptions) => Promise<CommandResult>;
}

/** Where what was written to one file system of the target lies. */
export interface Layer {
  /** As the target names it: `/boot`. */
  mountPoint: string;
  /** Holds whole files, and a character device 0:0 for what was taken away (overlayfs of the kernel). */
  upper: string;
}

/** Kernel's overlay refuses them; a package writes nothing there by itself. */
const READ_ONLY_TYPES = new Set(['vfat']);

/**
 * Lets programs of an offline target run over its files without changing them: `body` runs them, `after` gets
 * what they wrote. The target must be open, and nobody may write to it while `body` runs.
 */
export async function tryInside<T>(
  context: ActionContext,
  target: Target,
  body: (system: TriedSystem) => Promise<void>,
  after: (layers: readonly Layer[]) => Promise<T>,
): Promise<T> {
  const layout = target.layout!;
  const { mounts } = layout;
  const memory = join(layout.place, 'memory');
  await mounts.mountScratch(memory);
  const point = join(layout.place, 'tried');
  const layers: Layer[] = [];
  const points: string[] = [];
  for (const [index, part] of layout.parts.entries()) {
    const at = part.mountPoint === '/' ? point : join(point, part.mountPoint);
    const layer = await layOver(layout, target, part, join(memory, String(index)), at);
    points.push(at);
    if (layer !== null) layers.push(layer);
  }
  const root = new TargetRoot(point);
  const files = new TargetFiles(point);
  await body({
    root,
    files,
    runInside: (argv, options) =>
      runInside(context, { ...layout, root, files }, layout, argv, options),
  });
  for (const at of points.toReversed()) await mounts.unmount(at);
  const result = await after(layers);
  await mounts.unmount(memory);
  return result;
}

async function layOver(
  { mounts }: TargetLayout,
  target: Target,
  { mountPoint, volume }: MountedPart,
  place: string,
  at: string,
): Promise<Layer | null> {
  const lower = mountPoint === '/' ? target.root.path : join(target.root.path, mountPoint);
  if (READ_ONLY_TYPES.has(volume.type ?? '')) {
    await mounts.mountAgain(lower, at);
    return null;
  }
  const [upper, work] = [join(place, 'upper'), join(place, 'work')];
  await mkdir(upper, { recursive: true });
  await mkdir(work);
  // The folder above all others is seen with the attributes of the upper one.
  const { mode, uid, gid } = await stat(lower);
  await lchown(upper, uid, gid);
  await chmod(upper, mode & 0o7777);
  await mounts.mountOver({ lower, upper, work }, at);
  return { mountPoint, upper };
}
