/** Prometheus text exposition format, version 0.0.4. */
export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

export type Labels = Readonly<Record<string, string | number>>;

export interface Sample {
  labels: Labels;
  value: number;
}

export interface Metrics {
  /** A number that only grows; its name ends in `_total`. */
  counter(name: string, help: string): { add(labels?: Labels, by?: number): void };
  /** Durations in seconds, counted in buckets. */
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
  ): { observe(seconds: number, labels?: Labels): void };
  /** Asked for its samples whenever somebody reads the metrics. When that fails they are left out. */
  gauge(name: string, help: string, read: () => Sample[] | Promise<Sample[]>): void;
  /** All of them as text. */
  render(): Promise<string>;
}

interface Family {
  name: string;
  help: string;
  type: string;
  lines: () => string[] | Promise<string[]>;
}

export function createMetrics(): Metrics {
  const families: Family[] = [];
  return {
    counter: (name, help) => {
      const values = new Map<string, number>();
      families.push({
        name,
        help,
        type: 'counter',
        lines: () => [...values].map(([labels, value]) => `${name}${labels} ${value}`),
      });
      return {
        add: (labels = {}, by = 1) => {
          const key = render(labels);
          values.set(key, (values.get(key) ?? 0) + by);
        },
      };
    },

    histogram: (name, help, bounds) => {
      const series = new Map<string, { labels: Labels; counts: number[]; sum: number }>();
      families.push({
        name,
        help,
        type: 'histogram',
        lines: () => [...series.values()].flatMap((one) => histogramLines(name, bounds, one)),
      });
      return {
        observe: (seconds, labels = {}) => {
          const key = render(labels);
          let one = series.get(key);
          if (one === undefined) {
            one = { labels, counts: Array<number>(bounds.length + 1).fill(0), sum: 0 };
            series.set(key, one);
          }
          const index = bounds.findIndex((bound) => seconds <= bound);
          const bucket = index === -1 ? bounds.length : index;
          one.counts[bucket] = one.counts[bucket]! + 1;
          one.sum += seconds;
        },
      };
    },

    gauge: (name, help, read) => {
      families.push({
        name,
        help,
        type: 'gauge',
        lines: async () =>
          (await read()).map((sample) => `${name}${render(sample.labels)} ${sample.value}`),
      });
    },

    render: async () => {
      const texts = await Promise.all(
        families.map(async ({ name, help, type, lines }) => {
          const body = await (async () => lines())().catch(() => []);
          return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...body].join('\n');
        }),
      );
      return `${texts.join('\n')}\n`;
    },
  };
}

function histogramLines(
  name: string,
  bounds: readonly number[],
  { labels, counts, sum }: { labels: Labels; counts: readonly number[]; sum: number },
): string[] {
  let total = 0;
  const buckets = counts.map((count, index) => {
    total += count;
    return `${name}_bucket${render({ ...labels, le: bounds[index] ?? '+Inf' })} ${total}`;
  });
  return [
    ...buckets,
    `${name}_sum${render(labels)} ${sum}`,
    `${name}_count${render(labels)} ${total}`,
  ];
}

function render(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escape(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escape(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}
