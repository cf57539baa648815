import type { Context } from 'hono';
import type { HttpEnvironment } from './environment.ts';

export const MOST_WAIT_SECONDS = 60;

/**
 * How long the caller wants the answer to wait for what it is about (`Prefer: wait=SECONDS`, RFC 7240
 * section 4.3), in ms and at most a minute; 0 when they do not. The answer says what was applied.
 */
export function preferredWaitMs(c: Context<HttpEnvironment>): number {
  const header = c.req.header('prefer') ?? '';
  const seconds = /(?:^|[,;\s])wait\s*=\s*"?(\d{1,6})"?(?=$|[,;\s])/i.exec(header)?.[1];
  if (seconds === undefined) return 0;
  const applied = Math.min(Number(seconds), MOST_WAIT_SECONDS);
  c.header('Preference-Applied', `wait=${applied}`);
  return applied * 1000;
}
