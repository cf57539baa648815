import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { counter, expectedLines, readWholeLog } from '../harness/job-log.ts';
import { eventually, seededRandom } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';

const KILLS = process.env.INTERVENE_TEST_ALL === '1' ? 100 : 30;
/** Lasts longer than the kills; the job is told to stop printing once they are done. */
const LINES = 1_000_000;
const seed = Number(process.env.INTERVENE_TEST_SEED ?? Date.now() % 1_000_000);

type Victim = 'agent' | 'control plane' | 'database';

let stack: Stack | undefined;
afterEach(async () => {
  await stack?.close();
  stack = undefined;
});

/** Kills and starts again; a database is started again by its control plane, which is waited for. */
async function kill(victim: Victim, running: Stack, killedBefore: Set<number>): Promise<void> {
  if (victim === 'database') {
    const pid = await eventually('another database to kill', () => {
      const current = running.postgresPid();
      return killedBefore.has(current) ? null : current;
    });
    killedBefore.add(pid);
    process.kill(pid, 'SIGKILL');
    return;
  }
  const daemon = victim === 'agent' ? running.agent : running.controlPlane;
  killedBefore.add(daemon.pid);
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
      const killed = new Set<number>();
      while (killed.size < KILLS) {
        await delay(random() * 900);
        await kill(victim, stack, killed);
      }
      expect(readFileSync(starts, 'utf8'), 'the job outlives every kill').toBe('started\n');
      writeFileSync(`${starts}.stop`, '');
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
      const told = readFileSync(starts, 'utf8').match(/^started\nended (\d+)\n$/);
      const printed = Number(told?.[1]);
      expect(printed).toBeGreaterThan(KILLS * 100);
      expect(log.out === expectedLines(printed)).toBe(true);
      expect(log.gaps).toEqual([]);
      expect(log.digest).toBe(job.log.digest);
      expect(job.log.verified).toBe(true);
      expect(log.longestSilenceMs).toBeLessThan(2_000);
    },
  );
});
