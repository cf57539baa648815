import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Queries } from '../database/database.ts';
import type { Metrics, Sample } from './metrics.ts';

const NANOSECONDS = 1e9;
/** Counting all jobs reads all jobs; whoever asks more often gets the last answer. */
const COUNT_EVERY_MS = 10_000;
const UNREACHABLE_AFTER = '45 seconds';

export interface ProcessMetrics {
  /** For the HTTP app's `onRequest`. */
  countRequest(request: { method: string; route: string; status: number; ms: number }): void;
  close(): void;
}

/** What the control plane tells of itself. */
export function registerProcessMetrics(
  metrics: Metrics,
  queries: Queries,
  version: string,
): ProcessMetrics {
  const requests = metrics.counter('intervene_http_requests_total', 'HTTP requests answered.');
  const durations = metrics.histogram(
    'intervene_http_request_duration_seconds',
    'Time until an answer began; long polls and streams included.',
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
  );
  metrics.gauge(
    'intervene_jobs',
    'Jobs by state.',
    atMostEvery(COUNT_EVERY_MS, () =>
      count(queries, 'select state as label, count(*) as value from jobs group by state', 'state'),
    ),
  );
  metrics.gauge(
    'intervene_agents',
    'Enrolled agents: connected, or not.',
    atMostEvery(COUNT_EVERY_MS, () =>
      count(
        queries,
        `select case when connected_at is not null
                      and last_seen_at > now() - interval '${UNREACHABLE_AFTER}'
                     then 'connected' else 'disconnected' end as label, count(*) as value
         from agents where replaced_at is null group by 1`,
        'state',
      ),
    ),
  );
  metrics.gauge('intervene_database_up', 'Whether the database answers.', () =>
    queries.query('select 1').then(
      () => [{ labels: {}, value: 1 }],
      () => [{ labels: {}, value: 0 }],
    ),
  );

  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  metrics.gauge('intervene_event_loop_delay_seconds', 'Delay of the event loop.', () => {
    const samples = [50, 99, 100].map((percentile) => ({
      labels: { quantile: percentile / 100 },
      value: delay.percentile(percentile) / NANOSECONDS,
    }));
    delay.reset();
    return samples;
  });
  metrics.gauge('process_resident_memory_bytes', 'Resident memory.', () => [
    { labels: {}, value: process.memoryUsage.rss() },
  ]);
  metrics.gauge('process_start_time_seconds', 'When the process started, since 1970.', () => [
    { labels: {}, value: Math.round(Date.now() / 1000 - process.uptime()) },
  ]);
  metrics.gauge('intervene_build_info', 'The running version.', () => [
    { labels: { version }, value: 1 },
  ]);

  return {
    countRequest: ({ method, route, status, ms }) => {
      requests.add({ method, route, status });
      durations.observe(ms / 1000, { route });
    },
    close: () => void delay.disable(),
  };
}

async function count(queries: Queries, sql: string, name: string): Promise<Sample[]> {
  const rows = await queries.query<{ label: string; value: number }>(sql);
  return rows.map((row) => ({ labels: { [name]: row.label }, value: row.value }));
}

function atMostEvery<T>(ms: number, read: () => Promise<T>): () => Promise<T> {
  let last: { at: number; value: Promise<T> } | undefined;
  return () => {
    if (last === undefined || performance.now() - last.at > ms) {
      const value = read();
      const mine = { at: performance.now(), value };
      last = mine;
      value.catch(() => {
        if (last === mine) last = undefined;
      });
    }
    return last.value;
  };
}
