import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';
import { faults } from './faults/index.ts';
import { missingFor, proveRepair, proveReport } from './repair-proof.ts';

const ALL = process.env.INTERVENE_TEST_ALL === '1';
const ONLY = process.env.INTERVENE_TEST_FAULTS?.split(',');
const SAMPLE = 12;
const seed = Number(process.env.INTERVENE_TEST_SEED ?? Date.now() % 1_000_000);
const random = seededRandom(seed);

const onDisk = faults.filter((fault) => fault.proof === 'repair' || fault.proof === 'report');
const judged = onDisk.map((fault) => ({
  fault,
  why: missingFor(fault),
}));
const ready = judged.filter(({ why }) => why === null).map(({ fault }) => fault);
const waiting = judged.flatMap(({ fault, why }) => (why === null ? [] : [{ fault, why }]));

/** Another dozen each time, the same for the same seed. */
function sample(): typeof ready {
  const shuffled = ready.map((fault) => ({ fault, at: random() }));
  shuffled.sort((one, other) => one.at - other.at);
  return shuffled.slice(0, SAMPLE).map(({ fault }) => fault);
}

const chosen =
  ONLY !== undefined ? onDisk.filter(({ id }) => ONLY.includes(id)) : ALL ? ready : sample();

describe(`${chosen.length} of ${faults.length} faults (seed ${seed})`, () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.start();
    await stack.authorize('*', '--for', '8h');
  });
  afterAll(() => stack?.close());

  it.each(chosen.map((fault) => [fault.id, fault.title, fault] as const))(
    '%s, %s: found, repaired, undone',
    async (_id, _title, fault) => {
      const proof =
        fault.proof === 'report'
          ? proveReport(stack, fault)
          : proveRepair(stack, fault, { killAt: random(), boot: ALL });
      // Not `resolves`, which would hide why it failed.
      expect(await proof).toBeUndefined();
    },
  );
});

describe.runIf(waiting.length > 0)('a fault that waits for its repair', () => {
  it.for(waiting.map(({ fault, why }) => [fault.id, fault.title, why] as const))(
    '%s, %s',
    ([, , why], { skip }) => {
      skip(why);
      expect.unreachable();
    },
  );
});
