import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ALL_DISKS } from '../../../proto/documents/kinds/order.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { attachDisk, type AttachedDisk } from './attached-disk.ts';
import { listUnusedDisks } from './list-disks.ts';
import { Mounts } from './mounts.ts';
import { openStorage } from './stack/open-storage.ts';
import type { StorageProblem } from './stack/storage-problem.ts';
import { listVolumes, type Volume } from './volumes.ts';

/** The disks of an order's target, attached for as long as the body of `withDisks` runs. */
export interface OpenDisks {
  /** As the order says: a path, or `ALL_DISKS`. */
  named: string;
  disks: readonly AttachedDisk[];
  /** Pieces of the disks, and what was opened from them: RAID, LUKS, LVM. */
  volumes: readonly Volume[];
  /** What on them could not be opened as it should be. */
  problems: readonly StorageProblem[];
  /** A folder of this job alone, in its private mount namespace. */
  place: string;
  mounts: Mounts;
}

/**
 * Attaches the disks that the order names, and opens what lies on them. Without `write` nothing of them can be
 * written, by anybody here. Throws ActionError: `device_missing`, `device_busy`, `no_disk`, `not_attached`, and
 * those of `openStorage`.
 */
export async function withDisks<T>(
  context: ActionContext,
  { write }: { write: boolean },
  body: (disks: OpenDisks) => Promise<T>,
): Promise<T> {
  const named = context.spec.target?.['disk'];
  if (typeof named !== 'string') {
    throw new ActionError('no_disk', 'the order names no disk: intervene … --disk PATH');
  }
  const paths = named === ALL_DISKS ? await listUnusedDisks() : [named];
  if (paths.length === 0) {
    throw new ActionError('no_disk', 'there is no disk that the running system does not use');
  }
  const place = await makePlace(context);
  const mounts = new Mounts(context);
  await using attached = new AsyncDisposableStack();
  const disks: AttachedDisk[] = [];
  for (const path of paths) {
    disks.push(attached.use(await attachDisk(context, path, { write })));
  }
  const pieces = await listVolumes(context, disks, place);
  const { volumes, problems } = await openStorage(context, pieces, place, { write }, attached);
  let result: T;
  try {
    result = await body({ named, disks, volumes, problems, place, mounts });
  } catch (error) {
    // What could not be taken apart goes with the namespace; the first error is the one to tell.
    await mounts.unmountAll().catch(() => undefined);
    throw error;
  }
  await mounts.unmountAll();
  return result;
}

/** /run of a sandbox is empty and its own; outside of one there is only the job's folder. */
async function makePlace({ directory }: ActionContext): Promise<string> {
  const place = process.pid === 1 ? '/run/intervene' : join(directory, 'target');
  await mkdir(place, { recursive: true, mode: 0o700 });
  return place;
}
