import {
  serviceConfigureResult,
  serviceRestartResult,
  serviceStatusResult,
} from '../../../proto/actions/service.ts';
import type {
  AffectedUnit,
  JournalLine,
  ServiceStatusResult,
  UnitStanding,
} from '../../../proto/actions/service.ts';
import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { wrapText } from '../output/display-width.ts';
import { printFacts, printTable } from '../output/table.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Piece, Style, Terminal } from '../output/terminal.ts';
import { formatAge, formatBytes, formatClock, formatMoment } from '../output/time-text.ts';

const NONE = '-';
const JOURNAL_LINES_SAID = 8;

/** How outcomes are marked; the words come from the agent, which knows what it did. */
const outcomeMarks: Record<string, { glyph: string; style: Style }> = {
  running: { glyph: '✓', style: 'ok' },
  ended_well: { glyph: '✓', style: 'ok' },
  configured: { glyph: '✓', style: 'ok' },
  restored: { glyph: '✓', style: 'ok' },
  still_stopping: { glyph: '!', style: 'warn' },
  rolled_back: { glyph: '!', style: 'warn' },
  failed: { glyph: '✗', style: 'bad' },
};

/**
 * What an action on a service found or did. Results come from the server: one that is not as declared is not
 * shown, and the log still is. False when nothing was said.
 *
 * @param saidLater leaves out the detail where it stands in there
 */
export function sayService(context: CommandContext, job: JobBody, saidLater: string): boolean {
  if (!job.action.startsWith('service.') || job.result === null) return false;
  if (job.action === 'service.status') {
    const { success, data } = serviceStatusResult.safeParse(job.result);
    if (success) printStatus(context, data);
    return success;
  }
  const restart = serviceRestartResult.safeParse(job.result);
  if (restart.success) {
    const { outcome, detail, before, after, affected, because, journal } = restart.data;
    sayChange(context, outcome, saidLater.includes(detail) ? '' : detail, before, after);
    for (const other of affected) {
      context.terminal.say(`  with it  ${other.unit}: ${other.before} → ${other.after}`);
    }
    if (because !== null) sayJournal(context, journal.slice(-JOURNAL_LINES_SAID));
    return true;
  }
  const configure = serviceConfigureResult.safeParse(job.result);
  if (!configure.success) return false;
  const { outcome, detail, before, after, files } = configure.data;
  sayChange(context, outcome, saidLater.includes(detail) ? '' : detail, before, after);
  for (const { path, before: old, after: now } of files) {
    const what = old === null ? 'written' : now === null ? 'removed' : 'replaced';
    context.terminal.say(`  ${what}  ${path}`);
  }
  return true;
}

/** Data, for a person or a program; what it is about is said by the lines of the log already. */
function printStatus(context: CommandContext, status: ServiceStatusResult): void {
  const { terminal } = context;
  const { standing } = status;
  const process =
    standing.mainPid === null
      ? NONE
      : `${standing.mainPid}${status.mainProgram === null ? '' : ` (${status.mainProgram})`}`;
  printFacts(terminal, [
    ['unit', status.unit],
    ['is', status.description || NONE],
    ['state', stateText(standing)],
    ['since', terminal.outIsTty ? sinceText(context, standing.since) : (standing.since ?? NONE)],
    ['starts', standing.enablement || NONE],
    ['last result', standing.result ?? NONE],
    ['main process', process],
    ['restarts', String(standing.restarts)],
    ['memory', standing.memoryBytes === null ? NONE : formatBytes(standing.memoryBytes)],
    ['file', status.file ?? NONE],
    ['drop-ins', status.dropIns.join(', ') || NONE],
    ['needs', status.requires.join(', ') || NONE],
    ['wants', status.wants.join(', ') || NONE],
    ['started by', status.triggeredBy.join(', ') || NONE],
    ['a restart', affectedText(status.affected)],
  ]);
  if (status.journal.length === 0) return;
  if (terminal.outIsTty) terminal.print('');
  printTable<JournalLine>(
    terminal,
    [
      {
        title: 'TIME',
        cell: ({ at }) => clockText(context, at),
        plain: ({ at }) => at,
        keep: true,
      },
      { title: 'FROM', cell: ({ from }) => from },
      { title: 'MESSAGE', cell: ({ text, level }) => messageOf(text, level) },
    ],
    status.journal,
  );
}

function sayChange(
  context: CommandContext,
  outcome: string,
  detail: string,
  before: UnitStanding,
  after: UnitStanding,
): void {
  const { terminal } = context;
  const mark = outcomeMarks[outcome]!;
  const lines = detail === '' ? [] : wrapText(detail, Math.max(20, terminal.talkColumns - 2));
  for (const [at, line] of lines.entries()) {
    terminal.say(...(at === 0 ? [glyph(mark.style, mark.glyph)] : ['  ']), line);
  }
  const rows = [
    ['state', stateText(before), stateText(after)],
    ['since', sinceText(context, before.since), sinceText(context, after.since)],
    ['starts', before.enablement || NONE, after.enablement || NONE],
    ['main process', String(before.mainPid ?? NONE), String(after.mainPid ?? NONE)],
    ['restarts', String(before.restarts), String(after.restarts)],
  ].filter(([name, old, now]) => name === 'state' || old !== now) as [string, string, string][];
  const width = Math.max('before'.length, ...rows.map(([, old]) => old.length));
  terminal.say(styled('muted', `  ${''.padEnd(14)}${'before'.padEnd(width)}  after`));
  for (const [name, old, now] of rows) {
    terminal.say(styled('muted', `  ${name.padEnd(14)}`), `${old.padEnd(width)}  ${now}`);
  }
}

function sayJournal(context: CommandContext, journal: readonly JournalLine[]): void {
  sayAll(
    context.terminal,
    journal.map(({ at, from, text, level }) => [
      `  ${clockText(context, at)}  ${from}  `,
      messageOf(text, level),
    ]),
  );
}

function sayAll(terminal: Terminal, lines: readonly Piece[][]): void {
  for (const line of lines) terminal.say(...line);
}

function stateText({ load, active, sub }: UnitStanding): string {
  return load === 'loaded' ? `${active} (${sub})` : `${active} (${sub}), ${load}`;
}

function sinceText({ surroundings }: CommandContext, since: string | null): string {
  if (since === null) return NONE;
  const at = Date.parse(since);
  if (Number.isNaN(at)) return NONE;
  return `${formatMoment(at, surroundings.timeZone)} (${formatAge(surroundings.now() - at)})`;
}

function clockText({ surroundings }: CommandContext, at: string): string {
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? NONE : formatClock(ms, surroundings.timeZone, { seconds: true });
}

function affectedText(affected: readonly AffectedUnit[]): string {
  if (affected.length === 0) return 'takes no other unit along';
  return affected.map(({ unit, how }) => `${unit} is ${how} with it`).join(', ');
}

function messageOf(text: string, level: number): Piece {
  return level <= 3 ? styled('bad', text) : text;
}
