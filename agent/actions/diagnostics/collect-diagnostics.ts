import {
  diagnosticsCollectParameters,
  type DiagnosticsResult,
} from '../../../proto/actions/diagnostics.ts';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { CommandResult } from '../../process/command.ts';
import { CommandStartError } from '../../process/command-start-error.ts';
import type { ActionContext, ActionImplementation, ActionResult } from '../../runner/action.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { fitFindings } from './finding.ts';
import { Observations, observedFolder } from './observations.ts';
import { ProbeFailure, type LookOptions, type ProbeContext } from './probe.ts';
import { probes } from './probes.ts';
import { runProbes, type Collected } from './run-probes.ts';

/** A little under the 5 s it promises. */
const WITHIN_MS = 4_500;
const COMMAND_WITHIN_MS = 3_000;

export const diagnosticsCollect: ActionImplementation = { apply: collect };

/** Looks at everything there is a probe for. It succeeds when it could look, whatever it found. */
async function collect(context: ActionContext): Promise<ActionResult> {
  const { areas } = diagnosticsCollectParameters.parse(context.spec.parameters);
  const chosen = probes.filter(({ area }) => areas === undefined || areas.includes(area));
  const began = performance.now();
  if (context.spec.target !== null) {
    const { collectOffline } = await import('./offline/collect-offline.ts');
    const look = (argv: readonly string[], options?: LookOptions) =>
      lookWith(context, argv, options);
    const collected = await collectOffline(context, chosen, look);
    return resultOf(context, collected, began);
  }
  const observations = new Observations(observedFolder(context.directory));
  const following = observations.follow(WITHIN_MS - 300);
  const collected = await runProbes(chosen, probeContext(context, observations), WITHIN_MS);
  void following;
  return resultOf(context, collected, began);
}

function resultOf(
  context: ActionContext,
  { facts, findings, reports }: Collected,
  began: number,
): ActionResult {
  const durationMs = Math.round(performance.now() - began);
  const { target } = context.spec;
  const result: DiagnosticsResult = fitFindings(findings, {
    ...(target !== null && { target: target as DiagnosticsResult['target'] }),
    facts,
    probes: reports,
    durationMs,
  });
  for (const { probe, outcome, detail } of reports) {
    if (outcome === 'probe_failed') context.note(`Could not look: ${probe}: ${detail}`);
  }
  context.note(`${result.findings.length} findings by ${reports.length} probes.`);
  return {
    succeeded: true,
    reason: null,
    exitStatus: null,
    result: result as unknown as JsonValue,
  };
}

function probeContext(context: ActionContext, observations: Observations): ProbeContext {
  return {
    files: new TargetFiles('/'),
    observe: (name) => observations.get(name),
    observed: (prefix) => observations.matching(prefix),
    run: (argv) => lookWith(context, argv),
    now: Date.now(),
  };
}

async function lookWith(
  context: ActionContext,
  argv: readonly string[],
  options: LookOptions = {},
): Promise<CommandResult> {
  try {
    const done = await context.run(argv, {
      output: 'capture',
      timeoutMs: COMMAND_WITHIN_MS,
      ...options,
      signal: context.signal,
    });
    if (done.timedOut) throw new ProbeFailure(`${argv[0]} took too long`);
    if (done.exitStatus === null) throw new ProbeFailure(`${argv[0]} was ended by ${done.signal}`);
    return done;
  } catch (error) {
    if (!(error instanceof CommandStartError)) throw error;
    throw new ProbeFailure(
      error.failure === 'not_found' ? `${argv[0]} is not installed` : error.message,
    );
  }
}
