import { spawnSync } from 'node:child_process';
import { interveneProgram } from '../../../test/harness/stack-people.ts';
import { findAnsible } from '../ansible.ts';
import { inTurns } from '../bench.ts';
import type { Bench, BenchRow } from '../bench.ts';
import type { Series } from '../figures.ts';

const SSH_NEW = 'ssh, new connection';
const SSH_MUX = 'ssh, multiplexed';
/** A command every few hundred milliseconds, as people and scripts do; a spare runner is then ready again. */
const PAUSE_MS = 350;

/** `echo hi` from being asked for to its exit status being known. */
export const dispatch: BenchRow = { name: 'dispatch', measure };

async function measure(bench: Bench): Promise<Series[]> {
  const { runs } = bench.sizes;
  const stack = await bench.stack();
  const calls = await bench.calls();
  const peer = await bench.openSsh();
  bench.say(`dispatch of "echo hi", ${runs} times each, in turns`);
  const orders: string[] = [];
  for (let run = 0; run < runs + 3; run++) orders.push(await calls.sign(['echo', 'hi']));
  const cli = '--profile lead run web-04 command.run --yes -- echo hi'.split(' ');
  const env = { ...process.env, ...stack.environment };
  const ansible = findAnsible(peer);
  const pause = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
  const taken = await inTurns(
    {
      before: pause,
      api: async () => {
        const job = await calls.submitAndWait(orders.pop()!);
        if (job.state !== 'succeeded') throw new Error(`the job ended ${job.state}`);
      },
      between: pause,
      cli: () => runOk([interveneProgram, ...cli], env),
      sshNew: () => runOk([...peer.fresh, 'echo', 'hi'], process.env),
      sshMux: () => runOk([...peer.multiplexed, 'echo', 'hi'], process.env),
    },
    runs,
  );
  const withAnsible: Series[] = [];
  if (ansible !== null) {
    const { adHoc } = await inTurns({ adHoc: () => runOk(ansible, process.env) }, 5, 1);
    withAnsible.push({ what: 'Ansible, ad-hoc command, pipelining', unit: 'ms', values: adHoc! });
  }
  return [
    { what: SSH_NEW, unit: 'ms', values: taken.sshNew! },
    { what: SSH_MUX, unit: 'ms', values: taken.sshMux! },
    ...withAnsible,
    {
      what: 'API, submitted to end known, durable, signed',
      unit: 'ms',
      values: taken.api!,
      against: [SSH_MUX, SSH_NEW],
      mark: 'median 10 ms; below ssh, multiplexed',
      isMet: (median, [toMux]) => median <= 10 && toMux! < 1,
      reason:
        'a job passes six processes and is committed twice and synced four times on the way, where ssh has two and ' +
        'keeps nothing: see "Where the time goes" in `ARCHITECTURE.md`.',
    },
    {
      what: 'CLI, start-up included',
      unit: 'ms',
      values: taken.cli!,
      against: [SSH_NEW],
      mark: 'ratio below 1',
      isMet: (_, [ratio]) => ratio! < 1,
    },
  ];
}

function runOk(argv: readonly string[], env: NodeJS.ProcessEnv): void {
  const done = spawnSync(argv[0]!, argv.slice(1), { env });
  if (done.status !== 0) throw new Error(`${argv[0]}: ${done.stderr.toString()}`);
}
