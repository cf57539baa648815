import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FaultResult, WrittenResults } from '../../scripts/fault-table.ts';
import { seededRandom } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';
import { faults } from './faults/index.ts';
import { proveRepair, proveReport } from './repair-proof.ts';

const ALL = process.env.INTERVENE_TEST_ALL === '1';
const ONLY = process.env.INTERVENE_TEST_FAULTS?.split(',');
const SAMPLE = 12;
/** The same faults unless told otherwise: whether a commit is sound must not depend on the hour. */
const seed = Number(process.env.INTERVENE_TEST_SEED ?? 353_760);
const random = seededRandom(seed);

const onDisk = faults.filter((fault) => fault.proof === 'repair' || fault.proof === 'report');

/** Other faults for another seed. */
function sample(): typeof onDisk {
  const drawn = onDisk.map((fault) => ({ fault, at: random() }));
  drawn.sort((one, other) => one.at - other.at);
  return drawn.slice(0, SAMPLE).map(({ fault }) => fault);
}

function choose(): typeof onDisk {
  if (ONLY !== undefined) return onDisk.filter(({ id }) => ONLY.includes(id));
  return ALL ? onDisk : sample();
}

const chosen = choose();

describe(`${chosen.length} of ${faults.length} faults (seed ${seed})`, () => {
  const results: [string, FaultResult][] = [];
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start();
    await stack.authorize('*', '--for', '8h');
  });
  afterAll(async () => {
    await stack?.close();
  });
  /** After each fault: a run that is stopped has told of those before. */
  const tell = (id: string, result: FaultResult) => {
    results.push([id, result]);
    const file = process.env.INTERVENE_FAULT_RESULTS;
    if (file === undefined) return;
    const written: WrittenResults = { onDisk: results };
    writeFileSync(file, JSON.stringify(written));
  };

  it.each(chosen.map((fault) => [fault.id, fault.title, fault] as const))(
    '%s, %s: found, repaired, undone',
    async (id, _title, fault) => {
      const began = performance.now();
      const end = (state: FaultResult['state'], note: string) =>
        tell(id, { state, seconds: (performance.now() - began) / 1000, note });
      const proof =
        fault.proof === 'report'
          ? proveReport(stack, fault)
          : proveRepair(stack, fault, { killAt: random(), boot: ALL });
      await proof.catch((error: Error) => {
        end('failed', error.message);
        throw error;
      });
      const isBooted = ALL && fault.proof === 'repair' && fault.boots === true;
      end('passed', isBooted ? 'booted' : '');
      expect(results.at(-1)).toMatchObject([id, { state: 'passed' }]);
    },
  );
});
