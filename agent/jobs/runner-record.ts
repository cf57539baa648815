import { existsSync, readdirSync, rmSync } from 'node:fs';
import { link, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/**
 * What the agent itself says of its runners, beside the folder of the jobs: none of it is in any sandbox, so
 * what a job writes to its own folder is never taken for it. Each runner has a file: the boot in which it
 * was started, then what bubblewrap says of it.
 */
export function runnersFolder(stateDirectory: string): string {
  return join(stateDirectory, 'runners');
}

/** The file of the runner that works in a job's folder. */
export function runnerFile(directory: string): string {
  return join(runnersFolder(dirname(dirname(directory))), basename(directory));
}

/** What the job of a folder is to do. */
export function specFile(directory: string): string {
  return `${runnerFile(directory)}${SPEC_SUFFIX}`;
}

const SPEC_SUFFIX = '.spec';

/** Names of the job folders for which a runner was started. */
export function runnerNames(files: readonly string[]): string[] {
  return files.filter((name) => !name.endsWith(SPEC_SUFFIX));
}

/** The jobs that the agent holds a spec of: those that are not released yet. */
export function jobsWithSpec(stateDirectory: string): string[] {
  const folder = runnersFolder(stateDirectory);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(SPEC_SUFFIX))
    .map((name) => name.slice(0, -SPEC_SUFFIX.length));
}

/** Renames a job's folder; at no moment is its runner not to be found by the name of the folder. */
export async function renameJobFolder(from: string, to: string): Promise<void> {
  await link(runnerFile(from), runnerFile(to)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT' && error.code !== 'EEXIST') throw error;
  });
  await rename(from, to);
  rmSync(runnerFile(from), { force: true });
}

export function forgetRunner(directory: string): void {
  for (const path of [runnerFile(directory), specFile(directory)]) rmSync(path, { force: true });
}
