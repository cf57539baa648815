import type { DiagnosticsResult, Finding } from '../../../proto/actions/diagnostics.ts';

/** What differs between two diagnoses of one server. */
export interface DiagnosisDifference {
  fresh: Finding[];
  same: Finding[];
  /** Found before and not any more, where it was looked for again. */
  gone: Finding[];
}

/** `areas` are those the later one looked at; undefined for all. */
export function compareDiagnoses(
  before: DiagnosticsResult,
  now: DiagnosticsResult,
  areas: readonly string[] | undefined,
): DiagnosisDifference {
  const known = new Set(before.findings.map(keyOf));
  const there = new Set(now.findings.map(keyOf));
  const unsure = new Set(
    now.probes.filter(({ outcome }) => outcome === 'probe_failed').map(({ area }) => area),
  );
  const wasLookedFor = ({ area }: Finding) =>
    !unsure.has(area) && (areas === undefined || areas.includes(area));
  return {
    fresh: now.findings.filter((finding) => !known.has(keyOf(finding))),
    same: now.findings.filter((finding) => known.has(keyOf(finding))),
    // A list that was cut short says nothing of what is missing from it.
    gone:
      now.omittedFindings > 0
        ? []
        : before.findings.filter((finding) => !there.has(keyOf(finding)) && wasLookedFor(finding)),
  };
}

/** A finding is the same when its rule found it in the same thing; texts may differ. */
export function keyOf({ rule, subject }: Finding): string {
  return `${rule}\0${subject}`;
}
