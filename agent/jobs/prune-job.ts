import { existsSync } from 'node:fs';
import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '../connection/durable-file.ts';
import { UndoableOrders } from '../trust/undoable-orders.ts';
import { JOB_ID } from './job-folder.ts';
import { jobsBeingUndone } from './kept-jobs.ts';

/** Of folders that are being removed: nobody takes one for a job. */
const PREFIX = 'pruned-';

/**
 * Removes the folder of a job that `keptJobs` holds for nothing, and what an undo of it would be admitted by;
 * the next undo is refused as `undo_not_possible`. Killed in the middle, it leaves what `finishPruning` ends.
 * False, and everything is as before, when an undo of the job has begun since.
 */
export async function pruneJob(stateDirectory: string, id: string): Promise<boolean> {
  const folder = join(stateDirectory, 'jobs');
  // An undo that is admitted from here on finds no folder and does not start.
  await rename(join(folder, id), join(folder, PREFIX + id));
  await syncDirectory(folder);
  return finish(stateDirectory, id);
}

/** Ends what an earlier removal began. */
export async function finishPruning(stateDirectory: string): Promise<void> {
  const folder = join(stateDirectory, 'jobs');
  if (!existsSync(folder)) return;
  for (const name of await readdir(folder)) {
    const id = name.slice(PREFIX.length);
    if (name.startsWith(PREFIX) && JOB_ID.test(id)) await finish(stateDirectory, id);
  }
}

async function finish(stateDirectory: string, id: string): Promise<boolean> {
  const folder = join(stateDirectory, 'jobs');
  const pruned = join(folder, PREFIX + id);
  // A runner that had bound the folder before the rename has its spec on disk by now.
  if ((await jobsBeingUndone(stateDirectory)).has(id)) {
    await rename(pruned, join(folder, id));
    await syncDirectory(folder);
    return false;
  }
  const orders = await UndoableOrders.open(join(stateDirectory, 'trust/orders'));
  await orders.forget(id);
  await rm(pruned, { recursive: true, force: true });
  await syncDirectory(folder);
  return true;
}
