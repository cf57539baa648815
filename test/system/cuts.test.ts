import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startCutProxy } from '../harness/cut-proxy.ts';
import type { CutProxy } from '../harness/cut-proxy.ts';
import { counter, expectedLines, readWholeLog } from '../harness/job-log.ts';
import { eventually } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';
import { interveneProgram } from '../harness/stack-people.ts';

/**
 * The cuts and kills that other tools were measured with: 50 lines, one each half second, exit status 7.
 * In every row the job must run on, all 50 lines arrive once each, and the follower learn the 7.
 */
const LINES = 50;
const CUT_MS = 10_000;

interface Row {
  what: string;
  disturb: (stack: Stack, proxy: CutProxy) => Promise<void>;
  /** The follower itself is what is killed: another one takes over. */
  killsFollower?: boolean;
}

const rows: Row[] = [
  {
    what: 'a silent cut of 10 s between agent and control plane',
    disturb: async (_, proxy) => {
      proxy.silence();
      await delay(CUT_MS);
      proxy.restore();
    },
  },
  {
    what: 'every connection reset',
    disturb: async (_, proxy) => proxy.reset(),
  },
  {
    what: 'the follower killed',
    disturb: async () => {},
    killsFollower: true,
  },
  {
    what: 'the agent killed',
    disturb: async (stack) => {
      await stack.agent.end('SIGKILL');
      stack.agent.start();
    },
  },
  {
    what: 'the control plane killed and away for 8 s',
    disturb: async (stack) => {
      await stack.controlPlane.end('SIGKILL');
      await delay(8_000);
      stack.controlPlane.start();
    },
  },
  {
    what: 'the control plane stopped and started',
    disturb: async (stack) => {
      await stack.controlPlane.end('SIGTERM');
      stack.controlPlane.start();
    },
  },
  {
    what: 'the database killed',
    disturb: async (stack) => void process.kill(stack.postgresPid(), 'SIGKILL'),
  },
];

describe('50 lines and exit status 7', () => {
  it.concurrent.each(rows)('survive $what', async ({ disturb, killsFollower }) => {
    const stack = await Stack.start({ throughProxy: startCutProxy });
    let follower: ChildProcessByStdio<null, Readable, Readable> | undefined;
    try {
      await stack.authorize('command.run');
      const starts = path.join(stack.folder, 'starts');
      const argv = [
        '--profile',
        'lead',
        'run',
        'web-04',
        'command.run',
        '--yes',
        '--',
        ...counter(LINES, 500, starts),
      ];
      follower = spawn(interveneProgram, argv, {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, ...stack.environment },
      });
      const seen: Buffer[] = [];
      follower.stdout.on('data', (bytes: Buffer) => seen.push(bytes));
      const ended = once(follower, 'close') as Promise<[number | null]>;
      await eventually('ten lines', () => Buffer.concat(seen).toString().includes('line 10\n'));
      const { items } = await stack.request<{ items: { id: string; action: string }[] }>(
        'lead',
        'GET',
        '/api/v1/jobs',
      );
      const id = items.find((job) => job.action === 'command.run')!.id;

      if (killsFollower) {
        follower.kill('SIGKILL');
        const second = await stack.cli('lead', 'logs', id, '--follow', '--since-offset', '0');
        expect(second.status).toBe(1);
        expect(second.stdout).toBe(expectedLines(LINES));
      } else {
        await disturb(stack, stack.proxy!);
        const [status] = await ended;
        expect(Buffer.concat(seen).toString()).toBe(expectedLines(LINES));
        expect(status).toBe(1);
      }
      const job = await eventually('the log is compared', async () => {
        const view = await stack.job(id);
        return view.log.verified === null ? null : view;
      });
      expect(job).toMatchObject({ state: 'failed', exitStatus: 7 });
      expect(job.log.verified).toBe(true);
      expect((await readWholeLog(stack, id)).out).toBe(expectedLines(LINES));
      expect(readFileSync(starts, 'utf8')).toMatch(/^started\n(?:ended \d+\n)?$/);
    } finally {
      follower?.kill('SIGKILL');
      await stack.close();
    }
  });
});
