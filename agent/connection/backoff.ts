export const BACKOFF_FIRST_MS = 500;
export const BACKOFF_LAST_MS = 30_000;
const ATTEMPT_FIRST_MS = 3_000;
const ATTEMPT_LAST_MS = 15_000;

/**
 * How long to wait before the next attempt, after `failures` (1 or more) of them: anything up to a window
 * that doubles from 0.5 s to 30 s. Full jitter keeps a fleet that lost its control plane at one moment
 * from coming back at one moment.
 *
 * @param random from 0 up to 1, as Math.random gives it
 */
export function backoffMs(failures: number, random: number): number {
  const window = Math.min(BACKOFF_LAST_MS, BACKOFF_FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return Math.floor(random * window);
}

/**
 * How long one attempt may take. The first ones are short, because a SYN that was lost in an outage is
 * sent again later and later; the others have the patience that a crowded control plane needs.
 */
export function attemptMs(failures: number): number {
  return Math.min(ATTEMPT_LAST_MS, ATTEMPT_FIRST_MS * 2 ** Math.min(failures, 16));
}
