import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { measureBareGrpc } from '../bare-grpc.ts';
import { timed } from '../bench.ts';
import type { Bench, BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';

/** Compressible text in bulk, and many short lines: on loopback, durable and signed at the end. */
export const throughput: BenchRow = { name: 'throughput', measure };

async function measure(bench: Bench): Promise<Series[]> {
  const { bulkRuns, bulkMegabytes, lines } = bench.sizes;
  const calls = await bench.calls();
  const peer = await bench.openSsh();
  const theirs = (argv: readonly string[]): Promise<number> =>
    timed(async () => {
      const remote = argv.map((word) => `'${word}'`).join(' ');
      const child = spawn(peer.fresh[0]!, [...peer.fresh.slice(1), remote], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      child.stdout.resume();
      await once(child, 'close');
    });
  const bulk = bulkCommand(bulkMegabytes);
  const many = ['seq', '1', String(lines)];
  const taken = {
    bulk: [] as number[],
    bulkSsh: [] as number[],
    many: [] as number[],
    manySsh: [] as number[],
  };
  bench.say(`${bulkMegabytes} MB of text and ${lines} lines, ${bulkRuns} times each, in turns`);
  for (let run = 0; run < bulkRuns; run++) {
    taken.bulk.push(await calls.timeToEnd(bulk));
    taken.bulkSsh.push(await theirs(bulk));
    taken.many.push(await calls.timeToEnd(many));
    taken.manySsh.push(await theirs(many));
  }
  bench.say('a bare grpc-js stream of the same bytes');
  const bare = await measureBareGrpc(bulkMegabytes, bulkRuns);
  const rates = (values: number[]) => values.map((ms) => (bulkMegabytes * 1000) / ms);
  const names = {
    bare: `${bulkMegabytes} MB, bare grpc-js stream, kept nowhere`,
    ssh: `${bulkMegabytes} MB of text, ssh, kept nowhere`,
    lines: `${lines} lines, ssh, kept nowhere`,
  };
  return [
    { what: names.bare, unit: 'MB/s', values: bare },
    { what: names.ssh, unit: 'MB/s', values: rates(taken.bulkSsh) },
    {
      what: `${bulkMegabytes} MB of text, durable and signed`,
      unit: 'MB/s',
      values: rates(taken.bulk),
      against: [names.ssh, names.bare],
      mark: "at least ssh's",
      isMet: (_, [toSsh]) => toSsh! >= 1,
      reason:
        'agent, control plane and PostgreSQL take more processor time for a byte that is kept than ssh for one that is ' +
        'not, and they share the cores.',
    },
    { what: names.lines, unit: 'ms', values: taken.manySsh },
    {
      what: `${lines} lines, durable and signed`,
      unit: 'ms',
      values: taken.many,
      against: [names.lines],
      mark: 'not slower than ssh',
      isMet: (_, [ratio]) => ratio! <= 1,
    },
  ];
}

/** Prints so many MB of base64. */
export function bulkCommand(megabytes: number): string[] {
  return ['sh', '-c', `head -c ${megabytes * 750_000} /dev/zero | base64`];
}
