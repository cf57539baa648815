import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { once } from 'node:events';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Stack } from '../../../test/harness/stack.ts';
import { eventually } from '../../../test/harness/process.ts';
import type { Bench, BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';
import { InterveneCalls } from '../intervene-calls.ts';
import { findProcesses, memoryOf } from '../memory.ts';

const root = path.resolve(import.meta.dirname, '../../..');
const bundle = path.join(root, 'dist/agent');
const STARTS = 7;
const SETTLE_MS = 2_000;

/** The agent as it is installed: its bundle, its flags. Memory of it, of a spare runner and of a job's. */
export const footprint: BenchRow = { name: 'footprint', measure };

async function measure(bench: Bench): Promise<Series[]> {
  bench.say('footprint of agent and runner');
  const stack = await Stack.start();
  try {
    await stack.authorize('command.run');
    await stack.agent.end('SIGTERM');
    const starts: number[] = [];
    for (let run = 0; run < STARTS - 1; run++) {
      const agent = await startBundled(stack);
      starts.push(agent.connectedMs);
      await agent.stop();
    }
    const agent = await startBundled(stack);
    starts.push(agent.connectedMs);
    const calls = await InterveneCalls.open(stack);
    const warm = await calls.submitAndWait(await calls.sign(['echo', 'hi']));
    if (warm.state !== 'succeeded') throw new Error(`the job ended ${warm.state}`);
    await sleep(SETTLE_MS);
    const idle = memoryOf(agent.pid);
    const [spare] = runners(stack);
    if (spare === undefined) throw new Error('there is no spare runner');
    const ofSpare = memoryOf(spare);
    const job = await calls.submit(await calls.sign(['sleep', '30']));
    await eventually('the job runs', async () => (await stack.job(job.id)).state === 'running');
    const ofJob = memoryOf(spare);
    await calls.cancel(job.id);
    calls.close();
    await agent.stop();
    return [
      {
        what: 'agent, start to connected',
        unit: 'ms',
        values: starts,
        mark: '200 ms',
        isMet: (median) => median <= 200,
      },
      ...memorySeries('agent', idle),
      ...memorySeries('spare runner', ofSpare),
      ...memorySeries('runner of a job', ofJob),
    ];
  } finally {
    await stack.close();
  }
}

function memorySeries(
  what: string,
  { resident, own }: { resident: number; own: number },
): Series[] {
  return [
    {
      what: `${what}, resident`,
      unit: 'MB',
      values: [resident],
      mark: '75 MB',
      isMet: (mb) => mb <= 75,
    },
    { what: `${what}, its own`, unit: 'MB', values: [own], mark: '22 MB', isMet: (mb) => mb <= 22 },
  ];
}

/** The program inside bubblewrap: its own main file is the last but one word. */
function runners(stack: Stack): number[] {
  return findProcesses('runner.mjs').filter((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (words[0]!.endsWith('bwrap')) return false;
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
    return mounts.includes(path.basename(stack.folder));
  });
}

async function startBundled(stack: Stack) {
  const log = path.join(stack.folder, `bundled-${Date.now()}.log`);
  const output = openSync(log, 'a');
  const startedAt = Date.now();
  const child = spawn(
    process.execPath,
    [
      '--max-semi-space-size=1',
      path.join(bundle, 'intervene-agent.mjs'),
      'run',
      ...stack.agentFiles,
    ],
    { stdio: ['ignore', 'ignore', output], env: {} },
  );
  closeSync(output);
  const connected = /"time":(\d+)[^\n]*"to":"connected"/;
  const at = await eventually('the agent is connected', () =>
    connected.exec(readFileSync(log, 'utf8')),
  );
  return {
    pid: child.pid!,
    connectedMs: Number(at[1]) - startedAt,
    stop: async () => {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
