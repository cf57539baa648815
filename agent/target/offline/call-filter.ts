import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCallFilter } from '../../jobs/system-call-filter.ts';

let count = 0;

/**
 * Keeps a program beside a target to what confined jobs may ask the kernel for, whatever the job itself may.
 *
 * @param directory the job's own folder
 * @param body gets arguments of bubblewrap, and the descriptor that they name, which is to be the first of those
 *   passed on; neither where the machine is of a kind whose calls are not known
 */
export async function withCallFilter<T>(
  directory: string,
  body: (words: readonly string[], descriptors: number[]) => Promise<T>,
): Promise<T> {
  const filter = systemCallFilter({ capabilities: [] });
  if (filter === null) return body([], []);
  const path = join(directory, `scratch-filter-${count++}`);
  const handle = await open(path, 'wx+', 0o600);
  try {
    await rm(path);
    // At a place that is named: bubblewrap reads from where the descriptor stands.
    await handle.write(filter, 0, filter.length, 0);
    return await body(['--seccomp', '3'], [handle.fd]);
  } finally {
    await handle.close();
  }
}
