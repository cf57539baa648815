import type { BenchRow } from './bench.ts';
import { afterCut } from './rows/after-cut.ts';
import { dispatch } from './rows/dispatch.ts';
import { farBulk } from './rows/far-bulk.ts';
import { fanOut, manyAgents } from './rows/fleets.ts';
import { followerMemory } from './rows/follower-memory.ts';
import { footprint } from './rows/footprint.ts';
import { lineLag } from './rows/line-lag.ts';
import { throughput } from './rows/throughput.ts';

/** Everything that is measured, in the order of the table. */
export const benchRows: readonly BenchRow[] = [
  dispatch,
  lineLag,
  throughput,
  farBulk,
  followerMemory,
  fanOut,
  manyAgents,
  footprint,
  afterCut,
];

/** Throws for a name that no row has. */
export function chooseRows(names: readonly string[]): readonly BenchRow[] {
  const known = benchRows.map((row) => row.name);
  const wrong = names.find((name) => !known.includes(name));
  if (wrong !== undefined)
    throw new Error(`no row is called ${wrong}; there are ${known.join(', ')}`);
  return names.length === 0 ? benchRows : benchRows.filter((row) => names.includes(row.name));
}
