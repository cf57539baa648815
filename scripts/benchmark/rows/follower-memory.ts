import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stack } from '../../../test/harness/stack.ts';
import { interveneProgram } from '../../../test/harness/stack-people.ts';
import type { Bench, BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';
import { memoryOf } from '../memory.ts';
import { bulkCommand } from './throughput.ts';

const EARLY_BYTES = 50_000_000;
const LOOK_MS = 100;
const FLAT_MB = 32;

/** What the CLI takes while it follows a long log: early on, and at the end. */
export const followerMemory: BenchRow = { name: 'follower-memory', measure };

async function measure(bench: Bench): Promise<Series[]> {
  const { followerMegabytes } = bench.sizes;
  bench.say(`memory of a follower of ${followerMegabytes} MB`);
  // A cap that keeps the whole log.
  const stack = await Stack.start({
    agentConfig: { 'spool-cap-bytes': 3_000_000_000 },
  });
  try {
    await stack.authorize('command.run');
    const words = ['--profile', 'lead', 'run', 'web-04', 'command.run', '--yes', '--'];
    const child = spawn(interveneProgram, [...words, ...bulkCommand(followerMegabytes)], {
      env: { ...process.env, ...stack.environment },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let bytes = 0;
    child.stdout.on('data', (piece: Buffer) => (bytes += piece.length));
    const ended = once(child, 'exit');
    let early = 0;
    let most = 0;
    let isOver = false;
    void ended.then(() => (isOver = true));
    while (!isOver) {
      await sleep(LOOK_MS);
      try {
        most = memoryOf(child.pid!).most;
      } catch {
        // It ended meanwhile.
      }
      if (bytes < EARLY_BYTES) early = most;
    }
    const [status] = (await ended) as [number];
    if (status !== 0) throw new Error(`the follower ended with ${status}`);
    if (bytes < followerMegabytes * 1_000_000) throw new Error(`the follower saw ${bytes} bytes`);
    return [
      {
        what: `follower, most memory in the first ${EARLY_BYTES / 1e6} MB`,
        unit: 'MB',
        values: [early],
      },
      {
        what: `follower, most memory over ${followerMegabytes} MB`,
        unit: 'MB',
        values: [most],
        against: [`follower, most memory in the first ${EARLY_BYTES / 1e6} MB`],
        mark: `flat: at most ${FLAT_MB} MB more`,
        isMet: () => most - early <= FLAT_MB,
      },
    ];
  } finally {
    await stack.close();
  }
}
