import { writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Stack } from '../../test/harness/stack.ts';
import type { Bench, BenchSizes } from './bench.ts';
import { shortfalls, table } from './figures.ts';
import type { Series } from './figures.ts';
import { InterveneCalls } from './intervene-calls.ts';
import { startOpenSsh } from './openssh.ts';
import { chooseRows } from './rows.ts';

/** Measures Intervene beside OpenSSH, Ansible and a bare grpc-js stream, in one run on one machine. */

const root = path.resolve(import.meta.dirname, '../..');
const { values: options } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    runs: { type: 'string', default: '20' },
    bulk: { type: 'string', default: '3' },
    agents: { type: 'string', default: '10000' },
    out: { type: 'string' },
  },
});
const agents = Number(options.agents);
const sizes: BenchSizes = {
  runs: Number(options.runs),
  bulkRuns: Number(options.bulk),
  bulkMegabytes: 64,
  lines: 1_000_000,
  followerMegabytes: 1_000,
  fanOut: [50, Math.min(1_000, agents)],
  agents,
  storm: Math.min(5_000, agents),
  cutSeconds: 10,
};

const INTRODUCTION = '# What `scripts/bench` measured\n\n';

const NOTES = `Loopback, in one run, what is compared in turns; ratios and counts say more than single times. "Durable" means fsynced by
PostgreSQL, "signed" that the agent's receipt is there too. The agents of the fan-out, of the
thousands and of the storm are simulated in one process: a TLS connection, a Connect stream and a key of its own each, real
receipts, but no judgement, sandbox or disk. Both ends of everything, the peers and PostgreSQL share the same cores:
`;

const say = (text: string) => console.error(`▸ ${text}`);
const closing: (() => Promise<void> | void)[] = [];

/** Makes it once, when it is first asked for. */
function lazily<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

const stack = lazily(async () => {
  say('starting control plane and agent');
  const started = await Stack.start();
  closing.push(() => started.close());
  await started.authorize('command.run');
  return started;
});
const bench: Bench = {
  sizes,
  say,
  stack,
  calls: lazily(async () => {
    const calls = await InterveneCalls.open(await stack());
    closing.push(() => calls.close());
    return calls;
  }),
  openSsh: lazily(async () => {
    const peer = await startOpenSsh();
    closing.push(() => peer.close());
    return peer;
  }),
};

const rows = chooseRows(options.only.flatMap((names) => names.split(',')));
const isWhole = options.only.length === 0;
const loadBefore = loadavg()[0]!;
const series: Series[] = [];
const failures: string[] = [];
try {
  for (const row of rows) {
    try {
      series.push(...(await row.measure(bench)));
    } catch (error) {
      failures.push(`${row.name}: ${(error as Error).message.split('\n', 1)[0]}`);
      say(`${row.name} could not be measured: ${(error as Error).stack}`);
    }
  }
} finally {
  for (const close of closing.reverse()) await close();
}
const machine = `${cpus().length} cores of ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
const load = `load ${loadBefore.toFixed(1)} before and ${loadavg()[0]!.toFixed(1)} after`;
const missing = failures.map((failure) => `\nNot measured: ${failure}\n`).join('');
const unmet = shortfalls(series);
const parts = [`${INTRODUCTION}${table(series)}\n`, NOTES, `${machine}; ${load}.\n${missing}`];
const text = [...parts, ...(unmet === '' ? [] : [unmet])].join('\n');
console.log(text);
const out = options.out ?? (isWhole ? path.join(root, 'docs/BENCHMARK.md') : null);
if (out !== null) writeFileSync(path.resolve(out), text);
if (failures.length > 0) process.exitCode = 1;
