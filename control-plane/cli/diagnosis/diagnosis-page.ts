import type {
  DiagnosticFacts,
  DiagnosticsResult,
  Evidence,
  Finding,
  Severity,
} from '../../../proto/actions/diagnostics.ts';
import { fitWidth, wrapText } from '../output/display-width.ts';
import { ownCommand } from '../output/own-command.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Piece, Style, Terminal } from '../output/terminal.ts';
import { formatBytes, formatCount, formatDuration } from '../output/time-text.ts';
import type { DiagnosisDifference } from './compare-diagnoses.ts';
import { keyOf } from './compare-diagnoses.ts';
import { nextStep, type DiagnosedWith } from './next-step.ts';

const severityTexts: Record<Severity, { glyph: string; style: Style }> = {
  critical: { glyph: '✗', style: 'bad' },
  warning: { glyph: '!', style: 'warn' },
  notice: { glyph: '·', style: 'info' },
};

const INDENT = '    ';
const EVIDENCE_LINES = 4;

export interface DiagnosisPage extends DiagnosedWith {
  job: string;
  result: DiagnosticsResult;
  /** Null for the first diagnosis of a server. */
  previous: { job: string; difference: DiagnosisDifference } | null;
}

/** Prints a diagnosis, the worst first; the line that sums it up comes last. */
export function printDiagnosis(terminal: Terminal, page: DiagnosisPage): void {
  if (terminal.outIsTty) printForPeople(terminal, page);
  else printFields(terminal, page);
  sayNotLooked(terminal, page);
  saySummary(terminal, page);
}

function printForPeople(terminal: Terminal, page: DiagnosisPage): void {
  const { result, server, previous } = page;
  terminal.print(...headline(server, result.facts, terminal.columns));
  const fresh = new Set((previous?.difference.fresh ?? []).map(keyOf));
  for (const finding of result.findings) {
    terminal.print('');
    printFinding(terminal, finding, page, fresh.has(keyOf(finding)));
  }
  const gone = previous?.difference.gone ?? [];
  if (gone.length > 0) terminal.print('');
  for (const { title, rule } of gone) {
    terminal.print(
      glyph('ok', '✓'),
      styled('muted', 'gone  '),
      title,
      styled('muted', `  ${rule}`),
    );
  }
}

/**
 * One line per finding for programs: severity, new or same or gone, rule, subject, title, what to do, what is seen.
 * What is gone has no severity any more, and nothing is to be done about it or seen of it.
 */
function printFields(terminal: Terminal, page: DiagnosisPage): void {
  const { result, previous } = page;
  const same = new Set((previous?.difference.same ?? []).map(keyOf));
  const line = (finding: Finding, state: string) => {
    const { command, byHand } = nextStep(finding, page);
    const { severity, rule, subject, title, evidence } = finding;
    const seen = evidence.map(evidenceText).join('; ');
    const next = command === null ? byHand : ownCommand(command, terminal.profile);
    terminal.printFields([severity, state, rule, subject, title, next, seen]);
  };
  for (const finding of result.findings) line(finding, same.has(keyOf(finding)) ? 'same' : 'new');
  for (const { rule, subject, title } of previous?.difference.gone ?? []) {
    terminal.printFields(['-', 'gone', rule, subject, title, '-', '']);
  }
}

function headline(server: string, facts: DiagnosticFacts, columns: number): Piece[] {
  const { os, kernel, uptimeSeconds, cpus, memoryBytes } = facts;
  const parts = [
    os,
    kernel === undefined ? undefined : `kernel ${kernel}`,
    uptimeSeconds === undefined ? undefined : `up ${formatDuration(uptimeSeconds * 1000)}`,
    cpus === undefined ? undefined : formatCount(cpus, 'CPU'),
    memoryBytes === undefined ? undefined : `${formatBytes(memoryBytes)} memory`,
  ].filter((part) => part !== undefined && part !== '');
  const about = parts.length === 0 ? '' : ` · ${parts.join(' · ')}`;
  return [
    styled('bold', server),
    styled('muted', fitWidth(about, Math.max(10, columns - server.length))),
  ];
}

function printFinding(
  terminal: Terminal,
  finding: Finding,
  page: DiagnosisPage,
  isNew: boolean,
): void {
  const { severity, title, rule, evidence } = finding;
  const { style, glyph: sign } = severityTexts[severity];
  const width = Math.max(20, terminal.columns - INDENT.length - 8);
  const [first = '', ...rest] = wrapText(title, terminal.columns - severity.length - 10);
  terminal.print(glyph(style, sign), styled(style, severity), `  ${first}`);
  for (const line of rest) terminal.print(INDENT, line);
  terminal.print(
    INDENT,
    styled('muted', `${rule}${isNew ? ' · new since the last diagnosis' : ''}`),
  );
  for (const entry of evidence) printEvidence(terminal, entry, width);
  const { command, byHand } = nextStep(finding, page);
  if (command !== null) {
    // Never broken: it is there to be copied.
    const line = ownCommand(command, terminal.profile);
    terminal.print(INDENT, styled('muted', 'next    '), line);
  } else {
    for (const [at, line] of wrapText(byHand, width).entries()) {
      terminal.print(INDENT, styled('muted', at === 0 ? 'by hand ' : '        '), line);
    }
  }
}

function sourceOf(evidence: Evidence): string {
  if ('command' in evidence) return `$ ${evidence.command}`;
  return `${evidence.file}${evidence.line === null ? '' : `:${evidence.line}`}`;
}

/** In one line. */
function evidenceText(evidence: Evidence): string {
  return `${sourceOf(evidence)}: ${evidence.text.trim().split('\n').join(' / ')}`;
}

function printEvidence(terminal: Terminal, evidence: Evidence, width: number): void {
  terminal.print(INDENT, styled('muted', 'seen in '), fitWidth(sourceOf(evidence), width));
  const lines = evidence.text.split('\n');
  for (const line of lines.slice(0, EVIDENCE_LINES)) {
    terminal.print(INDENT, '        ', fitWidth(line, width));
  }
}

function sayNotLooked(terminal: Terminal, { result }: DiagnosisPage): void {
  for (const { probe, outcome, detail } of result.probes) {
    if (outcome !== 'probe_failed') continue;
    terminal.say(glyph('warn', '!'), `Could not look at ${probe}: ${detail}`);
  }
  if (result.omittedFindings > 0) {
    terminal.say(
      glyph('warn', '!'),
      `${formatCount(result.omittedFindings, 'finding')} more, less severe than these; look at one area with --area.`,
    );
  }
}

function saySummary(terminal: Terminal, { result, previous, job }: DiagnosisPage): void {
  const { findings, probes, durationMs } = result;
  const count = (severity: Severity) =>
    findings.filter((finding) => finding.severity === severity).length;
  const [worst, warnings, notices] = [count('critical'), count('warning'), count('notice')];
  const failed = probes.filter(({ outcome }) => outcome === 'probe_failed').length;
  const outcome =
    findings.length === 0
      ? 'Nothing found'
      : [
          `${worst} critical`,
          formatCount(warnings, 'warning'),
          formatCount(notices, 'notice'),
        ].join(', ');
  const sign =
    worst > 0
      ? glyph('bad', '✗')
      : warnings > 0 || failed > 0
        ? glyph('warn', '!')
        : glyph('ok', '✓');
  const looked = `${formatCount(probes.length, 'probe')}${failed > 0 ? `, ${failed} could not look` : ''}`;
  const since =
    previous === null
      ? ''
      : ` · since ${previous.job}: ${previous.difference.fresh.length} new, ${previous.difference.gone.length} gone, ${previous.difference.same.length} same`;
  terminal.say(
    sign,
    styled('bold', outcome),
    ` · ${looked} in ${formatDuration(durationMs)} · ${job}${since}`,
  );
}
