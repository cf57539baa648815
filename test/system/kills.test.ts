import { readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { counter, expectedLines, readWholeLog } from '../harness/job-log.ts';
import { eventually, seededRandom } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';

const KILLS = 30;
const LINES = 30_000;
const seed = Number(process.env.INTERVENE_TEST_SEED ?? Date.now() % 1_000_000);

type Victim = 'agent' | 'control plane' | 'database';

let stack: Stack | undefined;
afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

async function kill(victim: Victim, running: Stack): Promise<void> {
  if (victim === 'database') {
    // The control plane starts its database again by itself; a kill that meets the restart waits for it.
    const pid = await eventually('a database to kill', () => running.postgresPid());
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      await delay(50);
    }
    return;
  }
  const daemon = victim === 'agent' ? running.agent : running.controlPlane;
  await daemon.end('SIGKILL');
  daemon.start();
}

describe(`a job that prints a line every millisecond (seed ${seed})`, () => {
  it.each<Victim>(['agent', 'control plane', 'database'])(
    `is undisturbed and its log whole when the %s is killed ${KILLS} times`,
    async (victim) => {
      const random = seededRandom(seed);
      stack = await Stack.start();
      await stack.authorize('command.run');
      const starts = path.join(stack.folder, 'starts');
      const started = await stack.json<{ id: string }>(
        'lead',
        'run',
        'web-04',
        'command.run',
        '--yes',
        '--detach',
        '--',
        ...counter(LINES, 1, starts),
      );
      const running = stack;
      await eventually(
        'the job runs',
        async () => (await running.job(started.id)).state === 'running',
      );
      for (let kills = 0; kills < KILLS; kills++) {
        await delay(random() * 900);
        await kill(victim, stack);
      }
      const job = await eventually(
        'the job ends and its log is compared',
        async () => {
          const view = await running.job(started.id);
          return view.log.verified === null ? null : view;
        },
        120_000,
      );
      expect(job).toMatchObject({ state: 'failed', reason: 'exit_status', exitStatus: 7 });
      const log = await readWholeLog(stack, started.id);
      expect(log.out === expectedLines(LINES)).toBe(true);
      expect(log.gaps).toEqual([]);
      expect(log.digest).toBe(job.log.digest);
      expect(job.log.verified).toBe(true);
      expect(readFileSync(starts, 'utf8')).toBe('started\n');
      expect(log.longestSilenceMs).toBeLessThan(2_000);
    },
  );
});
