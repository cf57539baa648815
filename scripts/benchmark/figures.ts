/** One measured series, in one unit. */
export interface Series {
  what: string;
  unit: string;
  values: number[];
  /** What this series is compared with, by name, and which mark it should meet. */
  against?: string[];
  mark?: string;
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

/** A Markdown table: median, spread, 95th percentile, ratio to the series it is compared with, mark. */
export function table(series: readonly Series[]): string {
  const byName = new Map(series.map((entry) => [entry.what, entry]));
  const rows = series.map((entry) => {
    const ratio = (entry.against ?? [])
      .map((name) => byName.get(name))
      .filter((peer) => peer !== undefined)
      .map((peer) => `${figure(median(entry.values) / median(peer.values))}× ${peer.what}`)
      .join('; ');
    return [
      entry.what,
      `${figure(median(entry.values))} ${entry.unit}`,
      `${figure(Math.min(...entry.values))}..${figure(Math.max(...entry.values))}`,
      figure(percentile(entry.values, 0.95)),
      String(entry.values.length),
      ratio,
      entry.mark ?? '',
    ];
  });
  const header = ['what', 'median', 'min..max', 'p95', 'n', 'ratio', 'mark'];
  return [header, header.map(() => '---'), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
}
