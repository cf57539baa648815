import type { Stack } from '../../test/harness/stack.ts';
import type { Series } from './figures.ts';
import type { InterveneCalls } from './intervene-calls.ts';
import type { OpenSsh } from './openssh.ts';

export interface BenchSizes {
  /** Of what takes milliseconds, and of what takes seconds. */
  runs: number;
  bulkRuns: number;
  bulkMegabytes: number;
  lines: number;
  followerMegabytes: number;
  fanOut: readonly number[];
  /** Connected at once, and back after a restart. */
  agents: number;
  storm: number;
  cutSeconds: number;
}

/** What the rows have in common: one installation, one peer, made when a row first asks. */
export interface Bench {
  sizes: BenchSizes;
  say(text: string): void;
  /** Authorized for `command.run`, its agent connected. */
  stack(): Promise<Stack>;
  calls(): Promise<InterveneCalls>;
  openSsh(): Promise<OpenSsh>;
}

/** One part of the benchmark, named on the command line with `--only`. */
export interface BenchRow {
  name: string;
  measure(bench: Bench): Promise<Series[]>;
}

export async function timed(work: () => unknown): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

const WARM_UPS = 3;

/** Takes turns between several ways, so that a machine that slows down slows all of them. */
export async function inTurns(
  ways: Record<string, () => unknown>,
  runs: number,
  warmUps = WARM_UPS,
): Promise<Record<string, number[]>> {
  const taken: Record<string, number[]> = {};
  for (let run = -warmUps; run < runs; run++) {
    for (const [name, work] of Object.entries(ways)) {
      const ms = await timed(work);
      if (run >= 0) (taken[name] ??= []).push(ms);
    }
  }
  return taken;
}
