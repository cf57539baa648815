import type { DiagnosticFacts, Finding, ProbeReport } from '../../../proto/actions/diagnostics.ts';
import { bounded, cut } from './finding.ts';
import { NotApplicable, ProbeFailure, type Probe, type ProbeContext } from './probe.ts';

const AT_ONCE = 6;

export interface Collected {
  facts: DiagnosticFacts;
  findings: Finding[];
  reports: ProbeReport[];
}

/**
 * Runs probes beside each other, each within its own limit and all of them within `withinMs`. One that
 * fails or is slow becomes a report and hides nothing of the others.
 *
 * @param patience how many times its own limit a probe may take: nobody waits for a server that is down
 */
export async function runProbes(
  probes: readonly Probe[],
  context: ProbeContext,
  withinMs: number,
  patience = 1,
): Promise<Collected> {
  const end = performance.now() + withinMs;
  const collected: Collected = { facts: {}, findings: [], reports: [] };
  const waiting = [...probes];
  const work = async () => {
    for (let probe = waiting.shift(); probe !== undefined; probe = waiting.shift()) {
      await runProbe(probe, context, end, collected, patience);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const order = new Map(probes.map(({ id }, at) => [id, at]));
  collected.reports.sort((a, b) => order.get(a.probe)! - order.get(b.probe)!);
  return collected;
}

async function runProbe(
  probe: Probe,
  context: ProbeContext,
  end: number,
  collected: Collected,
  patience: number,
): Promise<void> {
  const began = performance.now();
  const report = (outcome: ProbeReport['outcome'], detail: string) => {
    const durationMs = Math.round(performance.now() - began);
    const { id, area } = probe;
    collected.reports.push({ probe: id, area, outcome, detail: cut(detail, 300), durationMs });
  };
  const limitMs = Math.min(probe.limitMs * patience, end - began);
  if (limitMs < 1) return report('probe_failed', 'no time was left for it');
  const timer = Promise.withResolvers<null>();
  const timeout = setTimeout(() => timer.resolve(null), limitMs);
  try {
    const result = await Promise.race([probe.look(context), timer.promise]);
    if (result === null) {
      return report('probe_failed', `gave no answer within ${Math.round(limitMs)} ms`);
    }
    Object.assign(collected.facts, result.facts);
    const { area } = probe;
    collected.findings.push(...result.findings.map((found) => bounded({ ...found, area })));
    if (result.notLookedAt === undefined) report('done', '');
    else report('probe_failed', result.notLookedAt);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    if (error instanceof NotApplicable) report('not_applicable', detail);
    else if (error instanceof ProbeFailure) report('probe_failed', detail);
    else report('probe_failed', `${(error as Error).name}: ${detail}`);
  } finally {
    clearTimeout(timeout);
  }
}
