import type {
  DiagnosticArea,
  DiagnosticFacts,
  Finding,
} from '../../../proto/actions/diagnostics.ts';
import type { Observation, ObservationName } from '../../jobs/observation.ts';
import type { CommandResult } from '../../process/command.ts';
import type { Volume } from '../../target/offline/volumes.ts';
import type { TargetFiles } from '../../target/target-files.ts';

/** What a probe found, and what it can say besides. */
export interface ProbeResult {
  findings: Omit<Finding, 'area'>[];
  facts?: DiagnosticFacts;
  /** What it could not look at, and why; counts as `probe_failed`. */
  notLookedAt?: string;
}

/** What a probe looks with; nothing of it changes anything. */
export interface ProbeContext {
  files: TargetFiles;
  /** What the agent saw. Throws ProbeFailure when there is no whole answer, NotApplicable when nothing is there. */
  observe: (name: ObservationName) => Promise<Observation>;
  /** Names of all observations there will be. */
  observed: (prefix: string) => Promise<ObservationName[]>;
  /** Runs a program that only looks. Throws ProbeFailure when it is not there or takes too long. */
  run: (argv: readonly string[]) => Promise<CommandResult>;
  /** Of a system on disks: what lies on them, which nobody has to observe. */
  volumes?: readonly Volume[];
  /** Milliseconds since 1970. */
  now: number;
}

export interface LookOptions {
  timeoutMs?: number;
  /** Further descriptors to pass, from 3 on. */
  descriptors?: number[];
}

/** One look at one thing; knows nothing of the others. */
export interface Probe {
  id: string;
  area: DiagnosticArea;
  limitMs: number;
  /** Whether it serves a system that does not run, too. */
  offline?: true;
  look(context: ProbeContext): Promise<ProbeResult>;
}

/** The probe could not look; the message says why. */
export class ProbeFailure extends Error {
  override name = 'ProbeFailure';
}

/** There is nothing for the probe to look at on this server. */
export class NotApplicable extends Error {
  override name = 'NotApplicable';
}

export const nothingFound: ProbeResult = { findings: [] };
