import { setTimeout as sleep } from 'node:timers/promises';
import { DomainError } from '../domain-error.ts';

export interface RetryOptions {
  /** Ends the waiting; the last error is then thrown. */
  signal: AbortSignal;
  /** Gives up after this time; without it, never. */
  limitMs?: number;
  /** Told of each failed try. */
  onRetry?: (error: DomainError, delayMs: number) => void;
}

const FIRST_DELAY_MS = 100;
const MOST_DELAY_MS = 5_000;

/**
 * Repeats `work` while the database is away, with full jitter so that replicas do not return in step.
 * `work` must be harmless to repeat: a commit whose answer was lost may have happened.
 */
export async function retryWhileUnavailable<T>(
  work: () => Promise<T>,
  { signal, limitMs = Infinity, onRetry }: RetryOptions,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (let window = FIRST_DELAY_MS; ; window = Math.min(window * 2, MOST_DELAY_MS)) {
    try {
      return await work();
    } catch (error) {
      if (!isDatabaseUnavailable(error) || signal.aborted) throw error;
      const delay = Math.ceil(Math.random() * window);
      if (performance.now() + delay > deadline) throw error;
      onRetry?.(error, delay);
      await sleep(delay, undefined, { signal }).catch(() => {
        throw error;
      });
    }
  }
}

export function isDatabaseUnavailable(error: unknown): error is DomainError {
  return error instanceof DomainError && error.code === 'database_unavailable';
}
