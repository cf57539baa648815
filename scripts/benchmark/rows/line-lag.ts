import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Bench, BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';

const LINES = 200;
const printer = [
  'perl',
  '-MTime::HiRes=time,sleep',
  '-e',
  `$|=1; for (1..${LINES}) { printf "%.6f\\n", time; sleep 0.05 }`,
];

/** How old a line is when its follower has it, at 20 lines a second. */
export const lineLag: BenchRow = { name: 'line-lag', measure };

async function measure(bench: Bench): Promise<Series[]> {
  const calls = await bench.calls();
  const peer = await bench.openSsh();
  bench.say(`lag of a line, ${LINES} lines at 20 a second`);
  const now = () => performance.timeOrigin + performance.now();
  const ours: number[] = [];
  const job = await calls.submit(await calls.sign(printer));
  await calls.follow(job.id, (record) => {
    if (record.channel === 'out') ours.push(...lags(record.payload.toString(), now()));
  });
  const theirs: number[] = [];
  const quoted = printer.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  const child = spawn(peer.fresh[0]!, [...peer.fresh.slice(1), quoted], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.on('data', (bytes: Buffer) => theirs.push(...lags(bytes.toString(), now())));
  await once(child, 'close');
  if (ours.length !== LINES || theirs.length !== LINES) {
    throw new Error(`lines seen: ${ours.length} and ${theirs.length} of ${LINES}`);
  }
  return [
    { what: 'line lag, ssh', unit: 'ms', values: theirs },
    {
      what: 'line lag, API follower',
      unit: 'ms',
      values: ours,
      against: ['line lag, ssh'],
      mark: '1 ms class (below 2), all lines',
      isMet: (median) => median < 2,
    },
  ];
}

function lags(text: string, arrivedMs: number): number[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => arrivedMs - Number(line) * 1000);
}
