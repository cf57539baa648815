import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { counter, expectedLines, readWholeLog } from '../harness/job-log.ts';
import { eventually } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';

/** Three minutes; with every test asked for, seven. */
const AWAY_MS = process.env.INTERVENE_TEST_ALL === '1' ? 420_000 : 180_000;

describe('without a control plane', () => {
  it.concurrent('a job goes on for three minutes and its log arrives whole afterwards', async () => {
    const stack = await Stack.start();
    try {
      await stack.authorize('command.run');
      const starts = path.join(stack.folder, 'starts');
      const lines = 100_000;
      const started = await stack.json<{ id: string }>(
        'lead',
        'run',
        'web-04',
        'command.run',
        '--yes',
        '--detach',
        '--',
        ...counter(lines, 1, starts),
      );
      await eventually(
        'the job runs',
        async () => (await stack.job(started.id)).state === 'running',
      );
      await stack.controlPlane.end('SIGKILL');
      await delay(AWAY_MS);
      stack.controlPlane.start();
      await stack.ready();
      const job = await eventually(
        'the log is compared',
        async () => {
          const view = await stack.job(started.id);
          return view.log.verified === null ? null : view;
        },
        60_000,
      );
      expect(job).toMatchObject({ state: 'failed', exitStatus: 7 });
      expect(job.log.verified).toBe(true);
      expect((await readWholeLog(stack, started.id)).out === expectedLines(lines)).toBe(true);
      expect(readFileSync(starts, 'utf8')).toMatch(/^started\n(?:ended \d+\n)?$/);
    } finally {
      await stack.close();
    }
  });

  it.concurrent('a job ordered to stop when cut off stops after a minute, and says why', async () => {
    const stack = await Stack.start();
    try {
      await stack.authorize('command.run');
      const started = await stack.json<{ id: string }>(
        'lead',
        'run',
        'web-04',
        'command.run',
        '--yes',
        '--detach',
        '--on-disconnect',
        'stop',
        '--',
        'sleep',
        '300',
      );
      await eventually(
        'the job runs',
        async () => (await stack.job(started.id)).state === 'running',
      );
      await stack.controlPlane.end('SIGKILL');
      await delay(80_000);
      stack.controlPlane.start();
      await stack.ready();
      const job = await eventually(
        'the end is known',
        async () => {
          const view = await stack.job(started.id);
          return view.state === 'running' ? null : view;
        },
        60_000,
      );
      expect(job.state).toBe('cancelled');
      expect(job.reason).toBe('disconnected');
    } finally {
      await stack.close();
    }
  });

  it.concurrent('a runner that is killed makes its job interrupted, with the truth, and never runs it again', async () => {
    const stack = await Stack.start();
    try {
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
        ...counter(100_000, 1, starts),
      );
      await eventually(
        'the job prints',
        async () => (await stack.job(started.id)).log.committedBytes > 1000,
      );
      const pidFile = path.join(stack.state, 'runners', started.id);
      const { 'child-pid': pid } = JSON.parse(
        // The boot it was started in comes first.
        readFileSync(pidFile, 'utf8').replace(/^[^{]*/, ''),
      ) as {
        'child-pid': number;
      };
      process.kill(pid, 'SIGKILL');
      const job = await eventually('the end is known', async () => {
        const view = await stack.job(started.id);
        return view.log.verified === null ? null : view;
      });
      expect(job).toMatchObject({ state: 'interrupted', reason: 'runner_died', exitStatus: null });
      expect(job.log.verified).toBe(true);
      const log = await readWholeLog(stack, started.id);
      expect(expectedLines(100_000).startsWith(log.out)).toBe(true);
      await stack.agent.end('SIGKILL');
      stack.agent.start();
      await delay(2_000);
      expect(readFileSync(starts, 'utf8')).toMatch(/^started\n(?:ended \d+\n)?$/);
      expect(readdirSync(path.join(stack.state, 'jobs')).length).toBeLessThanOrEqual(2);
    } finally {
      await stack.close();
    }
  });
});
