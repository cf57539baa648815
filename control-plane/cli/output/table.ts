import { displayWidth, fitWidth } from './display-width.ts';
import type { Piece, StyledText, Terminal } from './terminal.ts';

export interface Column<Row> {
  title: string;
  cell: (row: Row) => Piece;
  /** What a program reads instead; the cell's text when left out. */
  plain?: (row: Row) => string;
  /** Columns narrower than this are never cut. */
  keep?: boolean;
}

const GAP = 2;
const NARROWEST = 6;

/**
 * Prints a list. On a terminal: titles, aligned columns, cut to the width. Elsewhere: one line per row,
 * tab-separated, without titles, nothing cut.
 */
export function printTable<Row>(
  terminal: Terminal,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
): void {
  if (!terminal.outIsTty) {
    for (const row of rows) {
      terminal.printFields(columns.map((column) => plainCell(column, row)));
    }
    return;
  }
  const cells = rows.map((row) => columns.map((column) => asStyled(column.cell(row))));
  const widths = fitColumns(
    columns.map((column, at) =>
      Math.max(displayWidth(column.title), ...cells.map((row) => displayWidth(textOf(row, at)))),
    ),
    columns.map((column) => column.keep === true),
    terminal.columns,
  );
  terminal.print({
    text: columns
      .map((column, at) => pad(fitWidth(column.title, widths[at] ?? 0), widths[at], isLast(at)))
      .join(' '.repeat(GAP)),
    style: 'muted',
    decoration: false,
  });
  for (const row of cells) {
    terminal.print(
      ...row.flatMap((cell, at): Piece[] => {
        const text = fitWidth(cell.text, widths[at] ?? 0);
        const space = isLast(at) ? '' : ' '.repeat((widths[at] ?? 0) - displayWidth(text) + GAP);
        return [{ ...cell, text }, space];
      }),
    );
  }

  function isLast(at: number): boolean {
    return at === columns.length - 1;
  }
}

/** Prints what belongs to one thing: names and values, one pair per line. */
export function printFacts(terminal: Terminal, facts: readonly (readonly [string, Piece])[]): void {
  if (!terminal.outIsTty) {
    for (const [name, value] of facts) {
      terminal.printFields([name, asStyled(value).text]);
    }
    return;
  }
  const width = Math.max(...facts.map(([name]) => displayWidth(name)));
  for (const [name, value] of facts) {
    terminal.print({ text: pad(name, width), style: 'muted', decoration: false }, '  ', value);
  }
}

function plainCell<Row>(column: Column<Row>, row: Row): string {
  return column.plain ? column.plain(row) : asStyled(column.cell(row)).text;
}

function asStyled(piece: Piece): StyledText {
  return typeof piece === 'string' ? { text: piece, style: null, decoration: false } : piece;
}

function textOf(row: readonly StyledText[], at: number): string {
  return row[at]?.text ?? '';
}

function pad(text: string, width = 0, last = false): string {
  return last ? text : text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

/** Narrows the widest columns until the row fits. */
function fitColumns(
  natural: readonly number[],
  keep: readonly boolean[],
  available: number,
): number[] {
  const widths = [...natural];
  const total = () => widths.reduce((sum, width) => sum + width, 0) + GAP * (widths.length - 1);
  while (total() > available) {
    let widest = -1;
    for (let at = 0; at < widths.length; at++) {
      const width = widths[at] ?? 0;
      if (!keep[at] && width > NARROWEST && width > (widths[widest] ?? 0)) widest = at;
    }
    if (widest === -1) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}
