import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { interveneProgram, Stack } from '../../test/harness/stack.ts';
import { measureBareGrpc } from './bare-grpc.ts';
import { table } from './figures.ts';
import type { Series } from './figures.ts';
import { InterveneCalls } from './intervene-calls.ts';
import { startOpenSsh } from './openssh.ts';
import type { OpenSsh } from './openssh.ts';

/** Measures Intervene beside OpenSSH and a bare grpc-js stream, in one run on one machine. */

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '20' },
    bulk: { type: 'string', default: '3' },
    out: { type: 'string' },
  },
});
const RUNS = Number(options.runs);
const BULK_RUNS = Number(options.bulk);
const WARM_UPS = 3;
const BULK_MB = 64;
const MILLION = 1_000_000;

const say = (text: string) => console.error(`▸ ${text}`);

async function timed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Takes turns between several ways, so that a machine that slows down slows all of them. */
async function inTurns(
  ways: Record<string, () => unknown>,
  runs: number,
): Promise<Record<string, number[]>> {
  const taken: Record<string, number[]> = {};
  for (let run = -WARM_UPS; run < runs; run++) {
    for (const [name, work] of Object.entries(ways)) {
      const ms = await timed(work);
      if (run >= 0) (taken[name] ??= []).push(ms);
    }
  }
  return taken;
}

function ssh(command: string[], remote: string[]): void {
  const done = spawnSync(command[0]!, [...command.slice(1), ...remote], {
    stdio: 'pipe',
    maxBuffer: 1 << 30,
  });
  if (done.status !== 0) throw new Error(`ssh: ${done.stderr.toString()}`);
}

async function dispatch(stack: Stack, calls: InterveneCalls, peer: OpenSsh): Promise<Series[]> {
  say(`dispatch of "echo hi", ${RUNS} times each, in turns`);
  const orders: string[] = [];
  for (let run = 0; run < RUNS + WARM_UPS; run++) orders.push(await calls.sign(['echo', 'hi']));
  const cli = '--profile lead run web-04 command.run --yes -- echo hi'.split(' ');
  const taken = await inTurns(
    {
      api: async () => {
        const job = await calls.submitAndWait(orders.pop()!);
        if (job.state !== 'succeeded') throw new Error(`the job ended ${job.state}`);
      },
      cli: () => {
        const done = spawnSync(interveneProgram, cli, {
          env: { ...process.env, ...stack.environment },
        });
        if (done.status !== 0) throw new Error(done.stderr.toString());
      },
      sshNew: () => ssh(peer.fresh, ['echo', 'hi']),
      sshMux: () => ssh(peer.multiplexed, ['echo', 'hi']),
    },
    RUNS,
  );
  return [
    { what: 'ssh, new connection', unit: 'ms', values: taken.sshNew! },
    { what: 'ssh, multiplexed', unit: 'ms', values: taken.sshMux! },
    {
      what: 'API, submitted to end known, durable, signed',
      unit: 'ms',
      values: taken.api!,
      against: ['ssh, multiplexed'],
      mark: 'median 10 ms; faster than ssh, multiplexed',
    },
    {
      what: 'CLI, start-up included',
      unit: 'ms',
      values: taken.cli!,
      against: ['ssh, new connection'],
      mark: 'ratio below 1',
    },
  ];
}

const LAG_LINES = 200;
const printer = [
  'perl',
  '-MTime::HiRes=time,sleep',
  '-e',
  `$|=1; for (1..${LAG_LINES}) { printf "%.6f\\n", time; sleep 0.05 }`,
];

function lags(text: string, arrivedMs: number): number[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => arrivedMs - Number(line) * 1000);
}

async function lineLag(calls: InterveneCalls, peer: OpenSsh): Promise<Series[]> {
  say(`lag of a line, ${LAG_LINES} lines at 20 a second`);
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
  if (ours.length !== LAG_LINES || theirs.length !== LAG_LINES) {
    throw new Error(`lines seen: ${ours.length} and ${theirs.length} of ${LAG_LINES}`);
  }
  return [
    { what: 'line lag, ssh', unit: 'ms', values: theirs },
    {
      what: 'line lag, API follower',
      unit: 'ms',
      values: ours,
      against: ['line lag, ssh'],
      mark: '1 ms class, all lines',
    },
  ];
}

async function throughput(calls: InterveneCalls, peer: OpenSsh): Promise<Series[]> {
  const bulk = ['sh', '-c', `head -c ${BULK_MB * 750_000} /dev/zero | base64`];
  const lines = ['seq', '1', String(MILLION)];
  const series: Record<string, number[]> = {};
  const ours = async (argv: string[]): Promise<number> => {
    const order = await calls.sign(argv);
    return timed(async () => {
      const submitted = await calls.submit(order);
      let job = submitted;
      while (job.state === 'queued' || job.state === 'delivered' || job.state === 'running') {
        job = await calls.wait(job.id);
      }
      if (job.state !== 'succeeded') throw new Error(`the job ended ${job.state}`);
    });
  };
  const theirs = (argv: string[]): Promise<number> =>
    timed(async () => {
      const remote = argv.map((word) => `'${word}'`).join(' ');
      const child = spawn(peer.fresh[0]!, [...peer.fresh.slice(1), remote], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      child.stdout.resume();
      await once(child, 'close');
    });
  say(`${BULK_MB} MB of text and a million lines, ${BULK_RUNS} times each, in turns`);
  for (let run = 0; run < BULK_RUNS; run++) {
    for (const [name, argv] of [
      ['bulk', bulk],
      ['lines', lines],
    ] as const) {
      (series[`${name} ours`] ??= []).push(await ours(argv));
      (series[`${name} ssh`] ??= []).push(await theirs(argv));
    }
  }
  say('a bare grpc-js stream of the same bytes');
  const bare = await measureBareGrpc(BULK_MB, BULK_RUNS);
  const rates = (values: number[]) => values.map((ms) => (BULK_MB * 1000) / ms);
  return [
    { what: `${BULK_MB} MB, bare grpc-js stream, kept nowhere`, unit: 'MB/s', values: bare },
    {
      what: `${BULK_MB} MB of text, ssh, kept nowhere`,
      unit: 'MB/s',
      values: rates(series['bulk ssh']!),
    },
    {
      what: `${BULK_MB} MB of text, durable and signed`,
      unit: 'MB/s',
      values: rates(series['bulk ours']!),
      against: [
        `${BULK_MB} MB of text, ssh, kept nowhere`,
        `${BULK_MB} MB, bare grpc-js stream, kept nowhere`,
      ],
      mark: "at least ssh's",
    },
    { what: 'a million lines, ssh, kept nowhere', unit: 'ms', values: series['lines ssh']! },
    {
      what: 'a million lines, durable and signed',
      unit: 'ms',
      values: series['lines ours']!,
      against: ['a million lines, ssh, kept nowhere'],
      mark: 'not slower than ssh',
    },
  ];
}

say('starting control plane, agent and sshd');
const stack = await Stack.start();
const peer = await startOpenSsh();
try {
  await stack.authorize('command.run');
  const calls = await InterveneCalls.open(stack);
  const series = [
    ...(await dispatch(stack, calls, peer)),
    ...(await lineLag(calls, peer)),
    ...(await throughput(calls, peer)),
  ];
  calls.close();
  const machine = `${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, load ${loadavg()[0]!.toFixed(1)}, Node ${process.versions.node}`;
  const text = `${table(series)}\n\nLoopback; ${machine}. Everything in one run, in turns; trust ratios more than single figures.\n`;
  console.log(text);
  if (options.out) writeFileSync(path.resolve(options.out), text);
} finally {
  await peer.close();
  await stack.close();
}
