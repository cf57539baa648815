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
    const middle = median(entry.values);
    const peers = (entry.against ?? []).flatMap((name) => byName.get(name) ?? []);
    const ratios = peers.map((peer) => middle / median(peer.values));
    const isMet = entry.isMet?.(middle, ratios);
    return [
      entry.what,
      `${figure(middle)} ${entry.unit}`,
      `${figure(Math.min(...entry.values))}..${figure(Math.max(...entry.values))}`,
      figure(percentile(entry.values, 0.95)),
      String(entry.values.length),
      ratios.map((ratio, index) => `${figure(ratio)}× ${peers[index]!.what}`).join('; '),
      entry.mark ?? '',
      isMet === undefined ? '' : isMet ? 'yes' : 'no',
    ];
  });
  const header = ['what', 'median', 'min..max', 'p95', 'n', 'ratio', 'mark', 'met'];
  return [header, header.map(() => '---'), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
}
