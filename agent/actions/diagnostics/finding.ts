import {
  EVIDENCE_MAX_CHARACTERS,
  severities,
  type DiagnosticsResult,
  type Evidence,
  type Finding,
} from '../../../proto/actions/diagnostics.ts';

/** As much as travels with the end of a job, with room for what encodes longer than it is. */
const RESULT_MAX_BYTES = 64 * 1024;
const FINDINGS_MAX = 200;

export type NewFinding = Omit<Finding, 'area'>;

export function fileEvidence(file: string, line: number | null, text: string): Evidence {
  return { file: cut(file, 4096), line, text: excerpt(text) };
}

export function commandEvidence(command: string, text: string): Evidence {
  return { command: cut(command, 1000), text: excerpt(text) };
}

/** A finding with every text cut to what its schema allows. */
export function bounded(finding: Finding): Finding {
  return {
    ...finding,
    subject: cut(finding.subject, 300),
    title: cut(finding.title, 300),
    byHand: cut(finding.byHand, 500),
    evidence: finding.evidence.slice(0, 4),
  };
}

/** The worst first, and among equals in a fixed order; the least severe are left out where it gets too long. */
export function fitFindings(
  findings: readonly Finding[],
  rest: Omit<DiagnosticsResult, 'findings' | 'omittedFindings'>,
): DiagnosticsResult {
  const sorted = findings.toSorted(compareFindings);
  let kept = sorted.slice(0, FINDINGS_MAX);
  const whole = () => ({
    ...rest,
    findings: kept,
    omittedFindings: sorted.length - kept.length,
  });
  while (kept.length > 0 && Buffer.byteLength(JSON.stringify(whole())) > RESULT_MAX_BYTES) {
    kept = kept.slice(0, -Math.ceil(kept.length / 10));
  }
  return whole();
}

function compareFindings(a: Finding, b: Finding): number {
  const rank = severities.indexOf(a.severity) - severities.indexOf(b.severity);
  if (rank !== 0) return rank;
  const [one, other] = [`${a.rule}\0${a.subject}`, `${b.rule}\0${b.subject}`];
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Text that can be stored anywhere: no NUL, no half characters, no longer than is shown. */
export function cut(text: string, maxCharacters: number): string {
  const clean = text.replaceAll('\0', '\ufffd').toWellFormed();
  return clean.length <= maxCharacters
    ? clean
    : `${clean.slice(0, maxCharacters - 1)}…`.toWellFormed();
}

/** What is quoted of a file or of a program's output. */
export function excerpt(text: string): string {
  return cut(text.trim(), EVIDENCE_MAX_CHARACTERS);
}
