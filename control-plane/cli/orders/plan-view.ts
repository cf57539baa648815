import { commandText } from '../../../proto/documents/command-text.ts';
import type { ActionClass } from '../../../proto/documents/fields.ts';
import type { Plan, PlanStep } from '../../../proto/documents/kinds/plan.ts';
import { wrapText } from '../output/display-width.ts';
import { styled } from '../output/terminal.ts';
import type { Piece, Style } from '../output/terminal.ts';
import { formatBytes, formatCount } from '../output/time-text.ts';
import { PACKAGE_TABLES, packageLines } from './package-lines.ts';
import { shortDigest } from './read-plan.ts';

const INDENT = '    ';

export interface PlanHeading {
  digest: string;
  class: ActionClass;
  server: string;
  usualDuration: string;
}

/**
 * A plan as people read it, line by line: everything that will be done, saved, checked, and how it is taken
 * back. Nothing of the plan is left out but digests of preconditions and what it does not know.
 *
 * @param columns width to wrap sentences to; commands and diffs are never wrapped or cut
 */
export function planLines(plan: Plan, heading: PlanHeading, columns: number): Piece[][] {
  return [
    [
      styled('bold', shortDigest(heading.digest)),
      `  ${plan.action}  class ${heading.class} to apply  ${formatCount(plan.steps.length, 'step')}`,
      `  ${undoSummary(plan)}  usually ${heading.usualDuration}`,
    ],
    ...paragraph(plan.summary, '  ', columns),
    ...targetLines(plan),
    ...packageLines(plan.target),
    ...plan.findings.flatMap((finding) => paragraph(`Found: ${finding}`, '  ', columns)),
    ...plan.preconditions.flatMap((precondition) =>
      paragraph(`Only if unchanged: ${precondition.what}`, '  ', columns),
    ),
    ...plan.steps.flatMap((step, at) =>
      stepLines(step, at + 1, columns, plan.parameters['device']),
    ),
    ...(plan.steps.length === 0 ? [['  Nothing is to be done.']] : []),
    [styled('muted', `  ${heading.digest}`)],
  ];
}

function stepLines(step: PlanStep, number: number, columns: number, device: unknown): Piece[][] {
  return [
    ...wrapText(step.description, Math.max(20, columns - INDENT.length)).map((line, at) => [
      styled('bold', at === 0 ? `  ${number} ` : INDENT),
      line,
    ]),
    ...step.changes.flatMap((change) =>
      change.type === 'command'
        ? [[`${INDENT}$ ${commandText(change.argv)}`]]
        : [[`${INDENT}${change.path}`], ...diffLines(change.diff)],
    ),
    ...step.declaredFolders.map((folder): Piece[] => [
      folder === device
        ? `${INDENT}writes to  ${folder}`
        : `${INDENT}writes in  ${folder}  (a program decides which files)`,
    ]),
    ...field(
      'saves',
      step.backup === null
        ? 'nothing'
        : `${step.backup.what}, ${formatBytes(step.backup.bytes)}, in ${step.backup.where}`,
      columns,
    ),
    ...field('checks', step.verify, columns),
    ...(step.undo.possible
      ? field('undo', step.undo.how, columns)
      : field('undo', `none: ${step.undo.why}`, columns, 'warn')),
    ...field('stop', interruptText(step), columns),
  ];
}

function interruptText(step: PlanStep): string {
  const bound = `${step.interruptBoundSeconds} s`;
  switch (step.interrupt) {
    case 'now':
      return `at once, within ${bound}`;
    case 'finish':
      return `not before it is through, ${bound} at most`;
    case 'rollback':
      return `by putting back what it did, within ${bound}`;
  }
}

function undoSummary(plan: Plan): string {
  const without = plan.steps.filter((step) => !step.undo.possible).length;
  if (without === 0) return 'undo yes';
  return without === plan.steps.length
    ? 'undo none'
    : `undo not for ${formatCount(without, 'step')}`;
}

function targetLines(plan: Plan): Piece[][] {
  const shownAsTables = packageLines(plan.target).length > 0 ? PACKAGE_TABLES : [];
  const entries = [...Object.entries(plan.parameters), ...Object.entries(plan.target)].filter(
    ([name, value]) => !shownAsTables.includes(name) && !isEmptyList(value) && value !== null,
  );
  const shown = new Map(entries.map(([name, value]) => [name, valueText(value)]));
  return [...shown].map(([name, value]): Piece[] => [`  ${name}: ${value}`]);
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

function field(name: string, text: string, columns: number, style?: Style): Piece[][] {
  const label = `${INDENT}${name.padEnd(7)}`;
  return wrapText(text, Math.max(20, columns - label.length)).map((line, at) => [
    at === 0 ? label : ' '.repeat(label.length),
    style === undefined ? line : styled(style, line),
  ]);
}

function diffLines(diff: string): Piece[][] {
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      if (line.startsWith('+')) return [INDENT, styled('ok', line)];
      if (line.startsWith('-')) return [INDENT, styled('bad', line)];
      return [INDENT, line];
    });
}

function paragraph(text: string, indent: string, columns: number): Piece[][] {
  return text
    .split('\n')
    .flatMap((line) => wrapText(line, Math.max(20, columns - indent.length)))
    .map((line) => [indent + line]);
}

export function valueText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
