/** One measured series, in one unit. */
export interface Series {
  what: string;
  unit: string;
  values: number[];
  /** What this series is compared with, by name, and which mark it should meet. */
  against?: string[];
  mark?: string;
  /** Judges by the median and the ratios to `against`, in their order. */
  isMet?: (median: number, ratios: readonly number[]) => boolean;
  /** What the time or memory goes to: told where the mark is not met. */
  reason?: string;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}

const figure = (value: number) =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

interface Judged {
  entry: Series;
  middle: number;
  comparisons: { peer: string; ratio: number }[];
  /** Undefined for what has no mark. */
  isMet: boolean | undefined;
}

function judge(series: readonly Series[]): Judged[] {
  const byName = new Map(series.map((entry) => [entry.what, entry]));
  return series.map((entry) => {
    const middle = median(entry.values);
    const peers = (entry.against ?? []).flatMap((name) => byName.get(name) ?? []);
    const comparisons = peers.map(({ what, values }) => ({
      peer: what,
      ratio: middle / median(values),
    }));
    const ratios = comparisons.map(({ ratio }) => ratio);
    return { entry, middle, comparisons, isMet: entry.isMet?.(middle, ratios) };
  });
}

/** A Markdown table: median, spread, 95th percentile, ratio to the series it is compared with, mark. */
export function table(series: readonly Series[]): string {
  const rows = judge(series).map(({ entry, middle, comparisons, isMet }) => [
    entry.what,
    `${figure(middle)} ${entry.unit}`,
    `${figure(Math.min(...entry.values))}..${figure(Math.max(...entry.values))}`,
    figure(percentile(entry.values, 0.95)),
    String(entry.values.length),
    comparisons.map(({ peer, ratio }) => `${figure(ratio)}× ${peer}`).join('; '),
    entry.mark ?? '',
    isMet === undefined ? '' : isMet ? 'yes' : 'no',
  ]);
  const header = ['what', 'median', 'min..max', 'p95', 'n', 'ratio', 'mark', 'met'];
  const widths = header.map((name, column) =>
    Math.max(3, name.length, ...rows.map((row) => row[column]!.length)),
  );
  const lines = [header, widths.map((width) => '-'.repeat(width)), ...rows];
  return lines
    .map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
    .join('\n');
}

/** The marks that are not met, as a Markdown list, rows with the same reason together; empty when all are. */
export function shortfalls(series: readonly Series[]): string {
  const byReason = new Map<string, string[]>();
  for (const { entry, middle, isMet } of judge(series)) {
    if (isMet !== false) continue;
    const reason = entry.reason ?? 'not looked into yet.';
    const missed = `${entry.what} (${figure(middle)} ${entry.unit}, mark: ${entry.mark})`;
    byReason.set(reason, [...(byReason.get(reason) ?? []), missed]);
  }
  if (byReason.size === 0) return '';
  const items = [...byReason].map(([reason, missed]) => `- **${missed.join('; ')}**: ${reason}`);
  return `Marks not met, and why:\n\n${items.join('\n')}\n`;
}
