import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { locate } from '../config.ts';
import type { AgentOptions } from '../config.ts';
import { isRunnerAlive, killRunner } from '../jobs/runner-process.ts';
import { runnerNames, runnersFolder } from '../jobs/runner-record.ts';
import { lock, unlock } from '../trust/lock.ts';

/** A start that an agent had begun when the lock came appears within this time. */
const LOOK_AGAIN_MS = 50;
const ROUNDS = 5;
const GIVE_UP_MS = 900;

export interface Killed {
  /** Jobs whose runner was alive, and warm runners without a job. */
  jobs: string[];
  /** Those that are still there: stuck in the kernel. */
  remaining: string[];
}

/**
 * Stops everything within a second, without network and without the agent. `untilStopped` leaves the server
 * locked or not, as local root had it or makes it meanwhile.
 */
export async function lockCommand(
  options: AgentOptions & { untilStopped?: boolean },
): Promise<number> {
  const { stateDirectory } = locate(options);
  if (options.untilStopped === true) return stopOnly(stateDirectory);
  await lock(stateDirectory);
  const { jobs, remaining } = await killRunners(stateDirectory);
  if (remaining.length > 0) {
    process.stderr.write(`✗ Locked, but still there: ${remaining.join(', ')}\n`);
    return 1;
  }
  const what = jobs.length === 0 ? 'Nothing was running' : `Killed: ${jobs.join(', ')}`;
  process.stderr.write(`✓ Locked. ${what}.\n`);
  if (jobs.length > 0) process.stderr.write('  What they had begun may be half-written.\n');
  process.stderr.write('Next: intervene-agent unlock   (lets jobs start again)\n');
  return 0;
}

async function stopOnly(stateDirectory: string): Promise<number> {
  await lock(stateDirectory, 'passing');
  try {
    const { jobs, remaining } = await killRunners(stateDirectory);
    if (remaining.length > 0) {
      process.stderr.write(`✗ Still there: ${remaining.join(', ')}\n`);
      return 1;
    }
    const what = jobs.length === 0 ? 'Nothing was running' : `Killed: ${jobs.join(', ')}`;
    process.stderr.write(`✓ Stopped. ${what}.\n`);
    if (jobs.length > 0) process.stderr.write('  What they had begun may be half-written.\n');
    return 0;
  } finally {
    await unlock(stateDirectory, ['passing']);
  }
}

export async function unlockCommand(options: AgentOptions): Promise<number> {
  const { stateDirectory } = locate(options);
  await unlock(stateDirectory);
  process.stderr.write('✓ Unlocked. Jobs that are authorized start again.\n');
  process.stderr.write('Next: intervene-agent status\n');
  return 0;
}

/** Kills every runner below a state directory; a process that only has a former runner's number is spared. */
export async function killRunners(stateDirectory: string): Promise<Killed> {
  const folder = path.join(stateDirectory, 'jobs');
  const find = () => findRunners(stateDirectory);
  const killed = new Set<string>();
  const until = performance.now() + GIVE_UP_MS;
  for (let round = 0; round < ROUNDS; round++) {
    const alive = await find();
    for (const name of alive) killed.add(name);
    // Each waits for the death of its runner; all are killed before any is waited for.
    const deaths = Promise.all(alive.map((name) => killRunner(path.join(folder, name))));
    const tooLong = sleep(Math.max(0, until - performance.now()), undefined, { ref: false });
    await Promise.race([deaths, tooLong]);
    if (performance.now() > until) break;
    await sleep(LOOK_AGAIN_MS);
  }
  const jobs = [...killed].filter((name) => !name.startsWith('spare-'));
  return { jobs, remaining: await find() };
}

/** By what the agent recorded; a job writes only to its own folder. */
async function findRunners(stateDirectory: string): Promise<string[]> {
  const names = await readdir(runnersFolder(stateDirectory)).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    },
  );
  return runnerNames(names).filter((name) =>
    isRunnerAlive(path.join(stateDirectory, 'jobs', name)),
  );
}
