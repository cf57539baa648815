import { startDelayProxy } from '../../../test/fixtures/delay-proxy.ts';
import { Stack } from '../../../test/harness/stack.ts';
import type { Bench, BenchRow } from '../bench.ts';
import { measureBareGrpc } from '../bare-grpc.ts';
import type { Series } from '../figures.ts';
import { InterveneCalls } from '../intervene-calls.ts';
import { bulkCommand } from './throughput.ts';

const ONE_WAY_MS = 40;
/** The default takes half a minute for ten times as much. */
const BARE_MEGABYTES = 1;

/** Bulk text over a line with a round trip of 80 ms, beside what grpc-js does there by itself. */
export const farBulk: BenchRow = { name: 'far-bulk', measure };

async function measure(bench: Bench): Promise<Series[]> {
  const { bulkMegabytes, bulkRuns } = bench.sizes;
  bench.say(`${bulkMegabytes} MB of text at ${2 * ONE_WAY_MS} ms round trip`);
  const stack = await Stack.start({ throughProxy: startFarLine });
  try {
    await stack.authorize('command.run');
    const calls = await InterveneCalls.open(stack);
    const values: number[] = [];
    for (let run = 0; run < bulkRuns; run++) {
      values.push((bulkMegabytes * 1000) / (await calls.timeToEnd(bulkCommand(bulkMegabytes))));
    }
    calls.close();
    const far = { throughProxy: startFarLine };
    const bare = await measureBareGrpc(BARE_MEGABYTES, Math.min(2, bulkRuns), far);
    const name = `grpc-js default at ${2 * ONE_WAY_MS} ms, kept nowhere`;
    return [
      { what: name, unit: 'MB/s', values: bare },
      {
        what: `${bulkMegabytes} MB of text at ${2 * ONE_WAY_MS} ms, durable and signed`,
        unit: 'MB/s',
        values,
        against: [name],
        mark: '20 × the grpc-js default',
        isMet: (_, [ratio]) => ratio! >= 20,
      },
    ];
  } finally {
    await stack.close();
  }
}

async function startFarLine(port: number) {
  const proxy = await startDelayProxy(port, ONE_WAY_MS);
  const never = () => {
    throw new Error('this line is only long');
  };
  return { ...proxy, silence: never, restore: never, reset: never };
}
