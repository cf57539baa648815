import { setTimeout as sleep } from 'node:timers/promises';
import { startCutProxy } from '../../../test/harness/cut-proxy.ts';
import { Stack } from '../../../test/harness/stack.ts';
import type { Bench, BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';
import { InterveneCalls } from '../intervene-calls.ts';

const TCP_BACK_OFF_MS = 3_800;

/** From the end of a silent cut to the first output at the follower, with output all the time. */
export const afterCut: BenchRow = { name: 'after-cut', measure };

async function measure(bench: Bench): Promise<Series[]> {
  const { cutSeconds, bulkRuns } = bench.sizes;
  bench.say(`first output after a silent cut of ${cutSeconds} s, ${bulkRuns} times`);
  const stack = await Stack.start({ throughProxy: startCutProxy });
  try {
    await stack.authorize('command.run');
    const calls = await InterveneCalls.open(stack);
    const seconds = bulkRuns * (cutSeconds + 4) + 10;
    const job = await calls.submit(
      await calls.sign([
        'perl',
        '-e',
        `$|=1; for (1..${seconds * 20}) { print "line\\n"; select undef, undef, undef, 0.05 }`,
      ]),
    );
    let lastAt = 0;
    const following = calls.follow(job.id, () => (lastAt = performance.now()));
    const values: number[] = [];
    for (let run = 0; run < bulkRuns; run++) {
      await sleep(2_000);
      stack.proxy!.silence();
      await sleep(cutSeconds * 1000);
      const restored = performance.now();
      stack.proxy!.restore();
      while (lastAt < restored) await sleep(5);
      values.push(lastAt - restored);
    }
    await calls.cancel(job.id);
    await following;
    calls.close();
    return [
      {
        what: `first output after a silent cut of ${cutSeconds} s`,
        unit: 'ms',
        values,
        mark: `below 2 s (TCP's own back-off: ${TCP_BACK_OFF_MS / 1000} s)`,
        isMet: (median) => median < 2_000,
      },
    ];
  } finally {
    await stack.close();
  }
}
