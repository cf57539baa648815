import { setTimeout as sleep } from 'node:timers/promises';
import { Stack } from '../../../test/harness/stack.ts';
import type { BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';
import { enrolFleet, Fleet } from '../fleet.ts';
import { InterveneCalls } from '../intervene-calls.ts';
import { memoryOf } from '../memory.ts';

const SUBMITS_AT_ONCE = 64;
const SETTLE_MS = 3_000;

/** One job for each of many agents. The agents are simulated: see `LightAgent`. */
export const fanOut: BenchRow = {
  name: 'fan-out',
  measure: (bench) =>
    withStack(async (stack, calls) => {
      const series: Series[] = [];
      const most = Math.max(...bench.sizes.fanOut);
      bench.say(`the same job on ${bench.sizes.fanOut.join(' and ')} agents`);
      const identities = await enrolFleet(stack, most);
      const fleet = await Fleet.start(stack, identities);
      try {
        await fleet.connect(most);
        const agents = await calls.agents();
        const byId = new Map(agents.map((agent) => [agent.id, agent]));
        for (const count of bench.sizes.fanOut) {
          const values: number[] = [];
          for (let run = 0; run < bench.sizes.bulkRuns; run++) {
            const orders: string[] = [];
            for (const { agentId } of identities.slice(0, count)) {
              orders.push(await calls.sign(['echo', 'hi'], byId.get(agentId)!));
            }
            const began = performance.now();
            await runAll(orders, (order) => calls.submitAndWait(order));
            values.push(performance.now() - began);
          }
          const markMs = count <= 50 ? 500 : 2_000;
          series.push({
            what: `${count} agents, the same job, all ends durable and signed`,
            unit: 'ms',
            values,
            mark: `${markMs / 1000} s, without the signing`,
            isMet: (median) => median <= markMs,
            reason:
              'every order is judged, stored, delivered and ended by itself, in two transactions; one core of the ' +
              'control plane does that.',
          });
        }
      } finally {
        await fleet.close();
      }
      return series;
    }),
};

/** Many agents connected: memory of each at the control plane; then a kill, and all of them back. */
export const manyAgents: BenchRow = {
  name: 'many-agents',
  measure: (bench) =>
    withStack(async (stack) => {
      const { agents, storm } = bench.sizes;
      bench.say(`${agents} simulated agents connect`);
      const identities = await enrolFleet(stack, agents);
      const series: Series[] = [];
      const before = memoryOf(stack.controlPlane.pid).resident;
      const fleet = await Fleet.start(stack, identities);
      try {
        const connectMs = await fleet.connect(agents);
        await sleep(SETTLE_MS);
        const after = memoryOf(stack.controlPlane.pid).resident;
        const perAgent = ((after - before) * 1e6) / 1024 / agents;
        series.push(
          { what: `${agents} agents, until all are connected`, unit: 'ms', values: [connectMs] },
          {
            what: `memory of the control plane for each of ${agents} agents`,
            unit: 'KiB',
            values: [perAgent],
            mark: 'at most 120 KiB',
            isMet: (kib) => kib <= 120,
          },
        );
      } finally {
        await fleet.close();
      }
      bench.say(`${storm} agents after a kill of the control plane`);
      const crowd = await Fleet.start(stack, identities.slice(0, storm));
      try {
        await crowd.connect(storm);
        await stack.controlPlane.end('SIGKILL');
        const began = performance.now();
        stack.controlPlane.start();
        await crowd.welcomed(storm);
        const backMs = performance.now() - began;
        series.push({
          what: `${storm} agents back after kill -9 and start of the control plane`,
          unit: 'ms',
          values: [backMs],
          mark: '15 s',
          isMet: (ms) => ms <= 15_000,
        });
      } finally {
        await crowd.close();
      }
      return series;
    }),
};

async function withStack(
  measure: (stack: Stack, calls: InterveneCalls) => Promise<Series[]>,
): Promise<Series[]> {
  const stack = await Stack.start();
  try {
    await stack.authorize('command.run');
    const calls = await InterveneCalls.open(stack);
    const series = await measure(stack, calls);
    calls.close();
    return series;
  } finally {
    await stack.close();
  }
}

async function runAll(
  orders: readonly string[],
  run: (order: string) => Promise<{ state: string }>,
): Promise<void> {
  const waiting = [...orders];
  const worker = async () => {
    for (let order = waiting.pop(); order !== undefined; order = waiting.pop()) {
      const { state } = await run(order);
      if (state !== 'succeeded') throw new Error(`a job ended ${state}`);
    }
  };
  await Promise.all(Array.from({ length: SUBMITS_AT_ONCE }, worker));
}
